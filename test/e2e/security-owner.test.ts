/**
 * Protects the owner's data from a web page in the owner's browser, and on the disk
 * (docs/security.md).
 */
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GuardedCluster } from './support/guarded-cluster.ts';
import {
	asStranger,
	asUser,
	evil,
	JSON_TYPE,
	OPEN_PATHS,
	type Sent,
	typed,
	WEBSOCKET,
} from './support/trespass.ts';

let cluster: GuardedCluster;
beforeAll(async () => {
	cluster = await GuardedCluster.start('owner');
});
afterAll(async () => {
	await cluster?.[Symbol.asyncDispose]();
});

describe('a web page', () => {
	const EVIL = 'https://evil.example';
	const post = (headers: Record<string, string>) => ({ method: 'POST', headers });
	const preflight = (method: string) => ({
		method: 'OPTIONS',
		headers: { origin: EVIL, 'access-control-request-method': method },
	});
	/**
	 * Requests with the status for the owner's browser. Without credentials the status is always 403.
	 */
	const PAGES: readonly [what: string, code: number, sent: Omit<Sent, 'path'>][] = [
		['text', 415, post(typed('text/plain'))],
		['text with JSON in its name', 415, post(typed('text/plain; application/json'))],
		['a form', 415, post(typed('application/x-www-form-urlencoded'))],
		['a multipart form', 415, post(typed('multipart/form-data; boundary=x'))],
		['a body without a type', 415, post({})],
		['a body with an empty type', 415, post(typed(''))],
		['text by PUT', 415, { method: 'PUT', headers: typed('text/plain') }],
		['text by PATCH', 415, { method: 'PATCH', headers: typed('text/plain') }],
		['text by DELETE', 415, { method: 'DELETE', headers: typed('text/plain') }],
		['text from its own origin', 403, post({ ...typed('text/plain'), origin: EVIL })],
		['JSON from its own origin', 403, post({ ...typed(JSON_TYPE), origin: EVIL })],
		['JSON from an opaque origin', 403, post({ ...typed(JSON_TYPE), origin: 'null' })],
		['JSON under a name of its own', 403, post({ ...typed(JSON_TYPE), host: 'evil.example' })],
		['JSON from another site', 403, post({ ...typed(JSON_TYPE), 'sec-fetch-site': 'cross-site' })],
		['JSON from a sibling site', 403, post({ ...typed(JSON_TYPE), 'sec-fetch-site': 'same-site' })],
		['a read from its own origin', 403, { headers: { origin: EVIL } }],
		['a read under a name of its own', 403, { headers: { host: 'evil.example' } }],
		['a read under a name that begins like ours', 403, { headers: { host: 'localhost.evil.example' } }],
		['a read from another site', 403, { headers: { 'sec-fetch-site': 'cross-site' } }],
		['a preflight for POST', 403, preflight('POST')],
		['a preflight for PUT', 403, preflight('PUT')],
		['a preflight for DELETE', 403, preflight('DELETE')],
	];
	test.each(PAGES)('that sends %s: %i, and no word on CORS', async (_what, code, sent) => {
		const hasBody = ['POST', 'PUT', 'PATCH', 'DELETE'].includes(sent.method ?? 'GET');
		const body = hasBody ? { body: evil({ apiVersion: 'v1', kind: 'Pod' }, cluster.touched) } : {};
		const named = ['PUT', 'PATCH', 'DELETE'].includes(sent.method ?? '') ? '/victim' : '';
		const full = { ...sent, ...body, path: `${cluster.inside('pods')}${named}` };
		const answers = [await cluster.send(full, cluster.owner.identity), await cluster.send(full)];
		expect(answers.map((answer) => answer.code)).toEqual([code, 403]);
		for (const { headers } of answers)
			expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
	});

	test.each(OPEN_PATHS)('reads not even %s', async (path) => {
		for (const headers of [{ origin: EVIL }, { host: 'evil.example' }, { 'sec-fetch-site': 'cross-site' }])
			expect((await cluster.send({ path, headers })).code).toBe(403);
	});

	const STREAMS = ['exec?command=touch&stdout=true', 'attach?stdout=true', 'portforward?ports=80'];
	const streamOf = (stream: string, headers: object = {}): Sent => {
		const protocol = stream.startsWith('portforward') ? { 'sec-websocket-protocol': PORT_FORWARD } : {};
		return {
			path: `${cluster.inside('pods')}/victim/${stream}`,
			headers: { ...WEBSOCKET, ...protocol, ...headers },
		};
	};
	const PORT_FORWARD = 'SPDY/3.1+portforward.k8s.io';
	test.each(STREAMS)('opens no WebSocket for %s, where the owner does', async (stream) => {
		expect((await cluster.send(streamOf(stream), cluster.owner.identity)).code).toBe(101);
		expect((await cluster.send(streamOf(stream))).code).toBe(401);
		const pages = [
			{ origin: EVIL },
			{ origin: 'null' },
			{ origin: 'http://localhost:8000' },
			{ host: 'evil.example' },
			{ 'sec-fetch-site': 'cross-site' },
		];
		for (const headers of pages)
			for (const identity of [cluster.owner.identity, undefined])
				expect((await cluster.send(streamOf(stream, headers), identity)).code).toBe(403);
	});
	test('has had no effect', () => cluster.expectUntouched());
});

describe('the state directory', () => {
	/** Prints the kinds of access that succeed for each path on stdin. */
	const TRY = `while IFS= read -r path; do
		ls -d -- "$path" >/dev/null 2>&1 && echo "found $path"
		ls -- "$path/" >/dev/null 2>&1 && echo "listed $path"
		head -c 1 -- "$path" >/dev/null 2>&1 && echo "read $path"
		(: >>"$path") 2>/dev/null && echo "opened $path"
		curl -s -m 2 -o /dev/null --unix-socket "$path" http://localhost/ ; [ $? = 7 ] || echo "connected to $path"
	done; true`;
	const walk = () => {
		const found = readdirSync(cluster.state, { recursive: true, encoding: 'utf8' });
		return [cluster.state, ...found.map((name) => join(cluster.state, name))];
	};
	const expected = [
		...['kubeconfig', 'objects.db', 'state.json', 'control.sock', 'pods.sock', 'logs/control-plane.log'],
		...['pki/ca.key', 'pki/sa.key', 'nodes/node1.kubeconfig', 'nodes/node2.kubeconfig'],
	];

	test('opens no file, directory or socket to another user', async () => {
		const paths = walk();
		expect(paths).toEqual(expect.arrayContaining(expected.map((name) => join(cluster.state, name))));
		// other users can list the parent directory, so they see that the state directory exists
		const seen = await asStranger(['-c', TRY], paths.join('\n').concat('\n'));
		expect(seen).toBe(`found ${cluster.state}\n`);
	});
	test.each([
		['', 'found', 'listed'],
		['kubeconfig', 'found', 'read', 'opened'],
		['control.sock', 'found', 'connected to'],
	])('would show so by %j, as to its owner', async (name, ...ways) => {
		const path = join(cluster.state, name);
		const lines = (await asUser(0, ['-c', TRY], `${path}\n`)).trim().split('\n');
		expect(lines).toEqual(ways.map((way) => `${way} ${path}`));
	});
	test.each(expected.map((name) => [name]))('keeps %s from others by its own mode', (name) => {
		expect(lstatSync(join(cluster.state, name)).mode & 0o077).toBe(0);
	});
});
