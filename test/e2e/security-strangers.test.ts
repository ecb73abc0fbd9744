/**
 * Another user of the machine, or a program in a pod, has no access to a running API server without
 * credentials (docs/security.md).
 */
import { existsSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, createPrivateKey, Issuer } from '../../standalone/auth/certificates.ts';
import { createTokens, type TokenRequest } from '../../standalone/auth/tokens.ts';
import { MASTERS } from '../../standalone/auth/user.ts';
import type { ObjectApi } from '../../standalone/port.ts';
import { GuardedCluster } from './support/guarded-cluster.ts';
import {
	evil,
	gets,
	JSON_TYPE,
	OPEN_PATHS,
	type Place,
	POD_ACCOUNT,
	type Resource,
	type Sent,
	typed,
	unexpected,
	VERBS,
} from './support/trespass.ts';
import { eventually } from './support/wait.ts';

const DISCOVERY_PATHS = [
	...['/api', '/api/v1', '/apis', '/apis/apps/v1', '/openapi/v2', '/openapi/v3', '/healthz'],
];
const OTHER_PATHS = [
	...['/', '/metrics', '/debug/pprof', '/logs/', '/ui', '/api/v1/nodes/node1/proxy/', '/x/../y'],
];

let cluster: GuardedCluster;
const tokens: Record<string, string> = {};
const certificates: Record<string, string> = {};

beforeAll(async () => {
	cluster = await GuardedCluster.start('strangers', 'gone', 'short');
	await prepareTokens();
	await prepareCertificates();
});
afterAll(async () => {
	await cluster?.[Symbol.asyncDispose]();
});

async function prepareTokens(): Promise<void> {
	const account = await cluster.env.get('serviceaccount', 'default');
	const issue = async (signer: string, now: number, more: Partial<TokenRequest> = {}) =>
		(await createTokens(signer, {} as ObjectApi, () => now).issue({ account, seconds: 600, ...more })).token;
	const own = await cluster.tokenOf('attacker');
	const short = await cluster.tokenOf('short');
	const [header, payload, signature = ''] = own.split('.');
	const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
	const key = cluster.tokenKey();
	const day = 86_400_000;
	Object.assign(tokens, {
		own,
		valid: await issue(key, Date.now()),
		garbage: 'x.y.z',
		'no token at all': 'token',
		'a changed signature': `${header}.${payload}.${signature.slice(4)}AAAA`,
		'no signature': `${none}.${payload}.`,
		'another signature': `${short.split('.').slice(0, 2).join('.')}.${signature}`,
		'an expired one': await issue(key, Date.now() - day),
		'one of tomorrow': await issue(key, Date.now() + day),
		'one for another audience': await issue(key, Date.now(), { audiences: ['vault'] }),
		'one of another key': await issue(await createPrivateKey(), Date.now()),
		'one of a deleted service account': (await cluster.env.kubectl('create', 'token', 'gone')).trim(),
		'one of a deleted pod': short,
	});
}

async function prepareCertificates(): Promise<void> {
	const admin = { commonName: 'kubernetes-admin', organizations: [MASTERS] };
	const other = await Issuer.of(await createAuthority('maglane'));
	certificates['another authority'] = cluster.share('other', await other.client(admin));
	certificates['only itself'] = cluster.share('itself', await createAuthority('kubernetes-admin'));
	certificates['the owner'] = cluster.share('owner', cluster.owner.identity);
}

const PLACES: readonly [who: string, place: () => Place][] = [
	['another user of the machine', () => cluster.stranger()],
	['a pod, by the Service,', () => cluster.byService()],
	['a pod, by the addresses of nodes,', () => cluster.byNodes()],
];

const all = (sent: (typeof VERBS)[number][1]) =>
	cluster.resources.flatMap((resource) => sent(resource, cluster.touched));

test('discovery has the resources of pods, of workloads and of RBAC', () => {
	const names = cluster.resources.map(({ name }) => name);
	expect(names).toEqual(expect.arrayContaining(['pods', 'secrets', 'deployments', 'clusterrolebindings']));
	const pods = cluster.resources.find(({ name }) => name === 'pods')!;
	expect(pods.subresources.toSorted()).toEqual([
		...['attach', 'binding', 'exec', 'log', 'portforward', 'status'],
	]);
});

describe.each(PLACES)('%s without credentials', (_who, place) => {
	test.each(VERBS)('%s: 401 for every resource', async (_verb, sent) => {
		expect(await unexpected(place(), all(sent), [401])).toEqual([]);
	});
	test('asks for no review', async () => {
		expect(cluster.reviews.length).toBe(6);
		const requests = cluster.reviews.flatMap((review) => VERBS.flatMap(([, sent]) => sent(review, '')));
		expect(await unexpected(place(), requests, [401])).toEqual([]);
	});
	test('gets 401 on every path but three', async () => {
		const closed = gets([...DISCOVERY_PATHS, ...OTHER_PATHS]);
		expect(await unexpected(place(), closed, [401])).toEqual([]);
		expect(await unexpected(place(), gets(OPEN_PATHS), [200])).toEqual([]);
	});
	test('has had no effect', () => cluster.expectUntouched());
	test('is not served without TLS', async () => {
		const plain = { ...place(), urls: place().urls.map(withoutTls) };
		expect(await unexpected(plain, gets([...OPEN_PATHS, '/api']), [0])).toEqual([]);
	});
});

/** The URL with http and the same port. */
function withoutTls(url: string): string {
	const { hostname, port } = new URL(url);
	return `http://${hostname}:${port || 443}`;
}

test('the owner makes a pod as those above have tried, and its program runs', async () => {
	await cluster.env.apply(JSON.parse(evil({ apiVersion: 'v1', kind: 'Pod' }, cluster.touched)));
	await eventually('the file is there', async () => existsSync(cluster.touched) || undefined);
	await cluster.env.kubectl('delete', 'pod', 'evil', '--grace-period=0', '--force');
	rmSync(cluster.touched);
});

describe("a pod with its own token, and no binding of the service account's", () => {
	const shown = () => ({ token: tokens['own'], authority: `${POD_ACCOUNT}/ca.crt` });
	const places = PLACES.slice(1).map(([, place]) => place);
	test.each(VERBS)('%s: 403 for every resource', async (_verb, sent) => {
		for (const place of places) expect(await unexpected(place(), all(sent), [403], shown())).toEqual([]);
	});
	test('reviews itself, and no other user', async () => {
		const [own, others] = [true, false].map((wanted) =>
			cluster.reviews.filter(({ name }) => name.startsWith('self') === wanted),
		);
		const spec = { namespace: 'default', resourceAttributes: { verb: 'get', resource: 'pods' } };
		const sent = ({ path, apiVersion, kind }: Resource): Sent => ({
			method: 'POST',
			path,
			headers: typed(JSON_TYPE),
			body: JSON.stringify({ apiVersion, kind, spec }),
		});
		for (const place of places) {
			expect(await unexpected(place(), own!.map(sent), [201], shown())).toEqual([]);
			expect(await unexpected(place(), others!.map(sent), [403], shown())).toEqual([]);
		}
	});
	test('may discover, and see nothing else', async () => {
		for (const place of places) {
			const discovery = gets([...DISCOVERY_PATHS, ...OPEN_PATHS]);
			expect(await unexpected(place(), discovery, [200], shown())).toEqual([]);
			expect(await unexpected(place(), gets(OTHER_PATHS), [403], shown())).toEqual([]);
		}
	});
	test('has had no effect', () => cluster.expectUntouched());
});

describe('credentials that are none', () => {
	const REFUSED = [
		...['garbage', 'no token at all', 'a changed signature', 'no signature', 'another signature'],
		...['an expired one', 'one of tomorrow', 'one for another audience', 'one of another key'],
		...['one of a deleted service account', 'one of a deleted pod'],
	];
	const probes = () => gets(['/api', '/apis', cluster.inside('configmaps')]);

	test.each(['valid', 'one of a deleted service account', 'one of a deleted pod'])(
		'of the tokens below, %s is accepted at first',
		async (kind) => {
			for (const [, place] of PLACES)
				expect(await unexpected(place(), gets(['/api']), [200], { token: tokens[kind] })).toEqual([]);
		},
	);
	test('its service account and its pod are deleted', async () => {
		await cluster.env.kubectl('delete', 'serviceaccount', 'gone');
		await cluster.env.kubectl('delete', 'pod', 'short', '--grace-period=0', '--force');
		await expect(cluster.env.get('pod', 'short')).rejects.toThrow(/not found/);
	});
	test.each(REFUSED)('a token: %s gets 401', async (kind) => {
		for (const [, place] of PLACES)
			expect(await unexpected(place(), probes(), [401], { token: tokens[kind]! })).toEqual([]);
	});
	test.each(['another authority', 'only itself'])('a certificate of %s gets 401', async (kind) => {
		for (const [, place] of PLACES)
			expect(await unexpected(place(), probes(), [401], { certificate: certificates[kind]! })).toEqual([]);
	});
	test('where a certificate of the owner is accepted', async () => {
		for (const [, place] of PLACES)
			expect(await unexpected(place(), probes(), [200], { certificate: certificates['the owner']! })).toEqual(
				[],
			);
	});
	test.each([
		['a password', { authorization: `Basic ${Buffer.from('admin:admin').toString('base64')}` }],
		['headers of a proxy', { 'x-remote-user': 'kubernetes-admin', 'x-remote-group': MASTERS }],
		['impersonation', { 'impersonate-user': 'kubernetes-admin', 'impersonate-group': MASTERS }],
		['an empty token', { authorization: 'Bearer ' }],
	])('%s gets 401', async (_what, headers) => {
		const requests = probes().map((one) => ({ ...one, headers }));
		for (const [, place] of PLACES) expect(await unexpected(place(), requests, [401])).toEqual([]);
	});
});
