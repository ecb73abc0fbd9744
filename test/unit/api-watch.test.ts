import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import type { Fields } from '../fields.ts';
import { type Call, call, openWatch } from './api-client.ts';
import { credentials } from './api-credentials.ts';

let api: Api;
let port: number;
beforeEach(async () => {
	api = createApi({ credentials, firstRevision: 1000, history: 100, bookmarkInterval: 20 });
	({ port } = await api.listen({ port: 0 }));
});
afterEach(() => api.close());

const CONFIGS = '/api/v1/namespaces/default/configmaps';
const SERVICES = '/api/v1/namespaces/default/services';
const ENDPOINTS = '/api/v1/namespaces/default/endpoints';
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const ask = (path: string, options?: Call) => call(port, path, options);
const config = (name: string, labels: Fields = {}) => ({ metadata: { name, labels }, data: {} });
const post = (path: string, body: unknown) => ask(path, { method: 'POST', body });
const patch = (path: string, type: string, body: unknown) =>
	ask(path, { method: 'PATCH', body, headers: { 'content-type': `application/${type}` } });
const names = (body: Fields): string[] => body.items.map((item: Fields) => item.metadata.name);

describe('watch (R-A10)', () => {
	test('A-44: life of an Endpoints object by label', async () => {
		const stream = openWatch(port, `${ENDPOINTS}?watch=1&labelSelector=test%3Dy`);
		await post(ENDPOINTS, { metadata: { name: 'e', labels: { test: 'y' } } });
		expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'e' } } });
		await patch(`${ENDPOINTS}/e`, 'merge-patch+json', { metadata: { labels: { more: 'z' } } });
		expect(await stream.next()).toMatchObject({
			type: 'MODIFIED',
			object: { metadata: { labels: { more: 'z' } } },
		});
		const subsets = [{ addresses: [{ ip: '10.0.0.25' }], ports: [{ name: 'http-test', port: 8080 }] }];
		await patch(`${ENDPOINTS}/e`, 'strategic-merge-patch+json', { subsets });
		const { object } = await stream.next();
		expect(object.subsets[0]).toEqual({
			addresses: [{ ip: '10.0.0.25' }],
			ports: [{ name: 'http-test', port: 8080, protocol: 'TCP' }],
		});
		await ask(`${ENDPOINTS}?labelSelector=test%3Dy`, { method: 'DELETE' });
		expect((await stream.next()).type).toBe('DELETED');
		expect((await ask(`${ENDPOINTS}/e`)).code).toBe(404);
		stream.close();
	});

	test('life of EndpointSlices: one by one, by label, watched, and as a collection (A-103)', async () => {
		const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
		const slice = (name: string, address: string) => ({
			metadata: { name, labels: { test: 'y' } },
			addressType: 'IPv4',
			endpoints: [{ addresses: [address] }],
			ports: [{ name: 'web', port: 80 }],
		});
		const stream = openWatch(port, `${slices}?watch=1&labelSelector=test%3Dy`);
		for (const [i, name] of ['a', 'b', 'c'].entries()) {
			expect((await post(slices, slice(name, `10.0.0.${i + 1}`))).code).toBe(201);
			expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name } } });
		}
		expect((await ask(`${slices}/a`)).body.ports[0].protocol).toBe('TCP');
		expect(names((await ask(slices)).body)).toEqual(expect.arrayContaining(['a', 'b', 'c']));
		expect(names((await ask(`${slices}?labelSelector=test%3Dy`)).body)).toEqual(['a', 'b', 'c']);
		const everywhere = await ask('/apis/discovery.k8s.io/v1/endpointslices?labelSelector=test%3Dy');
		expect(names(everywhere.body)).toEqual(['a', 'b', 'c']);
		const annotations = { patched: 'true' };
		await patch(`${slices}/a`, 'merge-patch+json', { metadata: { annotations } });
		const { object } = await stream.next();
		expect(object.metadata.annotations).toEqual(annotations);
		await ask(`${slices}/a`, {
			method: 'PUT',
			body: { ...object, metadata: { ...object.metadata, annotations: {} } },
		});
		expect(await stream.next()).toMatchObject({ type: 'MODIFIED', object: { metadata: { name: 'a' } } });
		await ask(`${slices}/a`, { method: 'DELETE' });
		expect((await stream.next()).type).toBe('DELETED');
		expect((await ask(`${slices}/a`)).code).toBe(404);
		await ask(`${slices}?labelSelector=test%3Dy`, { method: 'DELETE' });
		expect([(await stream.next()).type, (await stream.next()).type]).toEqual(['DELETED', 'DELETED']);
		expect((await ask(`${slices}?labelSelector=test%3Dy`)).body.items).toEqual([]);
		stream.close();
	});

	test('an object that leaves the selector is DELETED to the watcher, and ADDED when it is back', async () => {
		await post(CONFIGS, config('a', { app: 'x' }));
		const stream = openWatch(port, `${CONFIGS}?watch=true&labelSelector=app%3Dx`);
		expect((await stream.next()).type).toBe('ADDED');
		const relabel = (app: string) =>
			patch(`${CONFIGS}/a`, 'merge-patch+json', { metadata: { labels: { app } } });
		await relabel('y');
		const left = await stream.next();
		expect(left).toMatchObject({ type: 'DELETED', object: { metadata: { labels: { app: 'x' } } } });
		expect(left.object.metadata.resourceVersion).toBe(String(api.objects.store.revision));
		await relabel('x');
		expect((await stream.next()).type).toBe('ADDED');
		stream.close();
	});

	test('resumes from a resourceVersion with every change since', async () => {
		await post(CONFIGS, config('a'));
		const { resourceVersion } = (await ask(CONFIGS)).body.metadata;
		await post(CONFIGS, config('b'));
		await ask(`${CONFIGS}/a`, { method: 'DELETE' });
		const stream = openWatch(port, `${CONFIGS}?watch=1&resourceVersion=${resourceVersion}`);
		expect(await stream.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' } } });
		expect(await stream.next()).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'a' } } });
		stream.close();
	});

	test.each(['5', '999999999'])('from %s, which is not known, is an ERROR with 410', async (version) => {
		const stream = openWatch(port, `${CONFIGS}?watch=1&resourceVersion=${version}`);
		expect(await stream.next()).toMatchObject({
			type: 'ERROR',
			object: { kind: 'Status', code: 410, reason: 'Expired' },
		});
	});

	test('the window of past changes is bounded', async () => {
		const { resourceVersion } = (await ask(CONFIGS)).body.metadata;
		for (let at = 0; at < 200; at++)
			api.objects.unsafePut('configmaps', { metadata: { name: `c${at}`, namespace: 'default' } });
		const stream = openWatch(port, `${CONFIGS}?watch=1&resourceVersion=${resourceVersion}`);
		expect((await stream.next()).object.code).toBe(410);
	});

	test('sends bookmarks, and the mark that ends the initial events', async () => {
		const query = 'watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan';
		await post(CONFIGS, config('a'));
		const stream = openWatch(port, `${CONFIGS}?${query}`);
		expect((await stream.next()).type).toBe('ADDED');
		expect(await stream.next()).toMatchObject({
			type: 'BOOKMARK',
			object: { kind: 'ConfigMap', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
		});
		const later = await stream.next();
		expect(later).toMatchObject({
			type: 'BOOKMARK',
			object: { metadata: { resourceVersion: String(api.objects.store.revision) } },
		});
		stream.close();
	});

	test('ends after timeoutSeconds, and tables have one row an event', async () => {
		const answer = await ask(`${SERVICES}?watch=1&timeoutSeconds=1`, { headers: TABLE });
		expect(answer.code).toBe(200);
		expect(answer.body).toMatchObject({
			type: 'ADDED',
			object: { kind: 'Table', rows: [{ cells: expect.any(Array) }] },
		});
	});
});
