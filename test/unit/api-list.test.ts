import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import type { ConfigMap } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';
import { call, openWatch } from './api-client.ts';
import { credentials } from './api-credentials.ts';

const CONFIGS = '/api/v1/namespaces/default/configmaps';
const SERVICES = '/api/v1/namespaces/default/services';

let api: Api;
let port: number;
beforeEach(async () => {
	api = createApi({ credentials, firstRevision: 1000, history: 100, bookmarkInterval: 20 });
	port = (await api.listen({ port: 0 })).port!;
});
afterEach(() => api.close());

const config = (name: string): ConfigMap => ({ metadata: { name, namespace: 'default' }, data: {} });
const make = (name: string) => api.objects.create('configmaps', config(name)).metadata.resourceVersion!;
const get = (path: string) => call(port, path);
const names = (body: Fields): string[] => body.items.map((item: Fields) => item.metadata.name);
const post = (path: string, body: unknown) => call(port, path, { method: 'POST', body });

describe('the resourceVersion of a list (R-A10)', () => {
	test('Exact is that state, NotOlderThan, 0 and none are the newest', async () => {
		const first = make('a');
		const second = make('b');
		const list = async (query: string) => (await get(`${CONFIGS}${query}`)).body;
		const exact = await list(`?resourceVersion=${first}&resourceVersionMatch=Exact`);
		expect([names(exact), exact.metadata.resourceVersion]).toEqual([['a'], first]);
		for (const query of [
			'',
			'?resourceVersion=0',
			`?resourceVersion=${first}`,
			`?resourceVersion=${first}&resourceVersionMatch=NotOlderThan`,
		]) {
			const { items, metadata } = await list(query);
			expect([names({ items }), metadata.resourceVersion], query).toEqual([['a', 'b'], second]);
		}
		// As with etcd, a limit without resourceVersionMatch requires exactly that version
		expect(names(await list(`?resourceVersion=${first}&limit=5`))).toEqual(['a']);
	});

	test('that is not reached yet is a time-out that clients know', async () => {
		const { code, body } = await get(`${CONFIGS}?resourceVersion=99999999`);
		expect(code).toBe(504);
		expect(body).toMatchObject({
			reason: 'Timeout',
			details: {
				causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
				retryAfterSeconds: 1,
			},
		});
	});

	test.each([
		['resourceVersionMatch=Exact', 'resourceVersionMatch is forbidden unless resourceVersion is provided'],
		['resourceVersionMatch=Exact&resourceVersion=0', '"exact" is forbidden for resourceVersion "0"'],
		['resourceVersionMatch=Newest&resourceVersion=1', 'supported values: "Exact", "NotOlderThan"'],
	])('%s is refused', async (query, message) => {
		const { code, body } = await get(`${CONFIGS}?${query}`);
		expect([code, body.reason]).toEqual([422, 'Invalid']);
		expect(body.message).toContain(message);
	});

	test('with continue is refused; a page of a state that is forgotten is 410', async () => {
		for (const name of ['a', 'b', 'c']) make(name);
		const { metadata } = (await get(`${CONFIGS}?limit=1`)).body;
		const next = `${CONFIGS}?limit=1&continue=${metadata.continue}`;
		expect((await get(`${next}&resourceVersion=5`)).body).toMatchObject({
			code: 400,
			message: 'specifying resource version is not allowed when using continue',
		});
		for (let write = 0; write < 200; write++) {
			make('x');
			api.objects.delete('configmaps', 'default', 'x');
		}
		expect((await get(next)).body).toMatchObject({ code: 410, reason: 'Expired' });
	});
});

describe('a watch (R-A10)', () => {
	test('with sendInitialEvents lists first, marks the end, and goes on', async () => {
		make('a');
		// the Python client writes True
		const query = 'watch=True&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1';
		const stream = openWatch(port, `${CONFIGS}?${query}`);
		expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'a' } } });
		expect(await stream.next()).toMatchObject({
			type: 'BOOKMARK',
			object: {
				kind: 'ConfigMap',
				metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } },
			},
		});
		make('b');
		const next = async (): Promise<Fields> => {
			const event = await stream.next();
			return event.type === 'BOOKMARK' ? next() : event;
		};
		expect(await next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' } } });
		stream.close();
	});
});

test('a collection of Services is deleted by label, the others stay (A-43)', async () => {
	for (const [name, group] of [
		['one', 'x'],
		['two', 'x'],
		['three', 'y'],
	])
		await post(SERVICES, { metadata: { name, labels: { group } }, spec: { ports: [{ port: 80 }] } });
	const answer = await call(port, `${SERVICES}?labelSelector=group%3Dx`, { method: 'DELETE' });
	expect(answer.code).toBe(200);
	expect(names((await get(SERVICES)).body)).toEqual(['kubernetes', 'three']);
});

describe('reviews', () => {
	test.each([
		[
			'authorization.k8s.io/v1/selfsubjectaccessreviews',
			'SelfSubjectAccessReview',
			{ resourceAttributes: { verb: 'get', resource: 'pods' } },
			{ allowed: true },
		],
		[
			'authorization.k8s.io/v1/selfsubjectrulesreviews',
			'SelfSubjectRulesReview',
			{ namespace: 'default' },
			{ incomplete: false },
		],
		[
			'authentication.k8s.io/v1/selfsubjectreviews',
			'SelfSubjectReview',
			{},
			{ userInfo: { username: 'kubernetes-admin' } },
		],
	])('%s answers and stores nothing', async (path, kind, spec, status) => {
		const { revision } = api.objects.store;
		const { code, body } = await post(`/apis/${path}`, { spec });
		expect(code).toBe(201);
		expect(body).toMatchObject({ kind, apiVersion: path.split('/').slice(0, 2).join('/'), spec, status });
		expect((await get(`/apis/${path}`)).code).toBe(405);
		expect(api.objects.store.revision).toBe(revision);
	});
});
