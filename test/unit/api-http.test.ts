import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import type { Fields } from '../fields.ts';
import { type Call, call } from './api-client.ts';
import { credentials } from './api-credentials.ts';

let api: Api;
let port: number;
beforeEach(async () => {
	api = createApi({ credentials, firstRevision: 1000, history: 100, bookmarkInterval: 20, unsafe: true });
	port = (await api.listen({ port: 0 })).port!;
});
afterEach(() => api.close());

const CONFIGS = '/api/v1/namespaces/default/configmaps';
const SERVICES = '/api/v1/namespaces/default/services';
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' };
const ask = (path: string, options?: Call) => call(port, path, options);
const config = (name: string, labels: Fields = {}) => ({ metadata: { name, labels }, data: {} });
const post = (path: string, body: unknown) => ask(path, { method: 'POST', body });
const patch = (path: string, type: string, body: unknown) =>
	ask(path, { method: 'PATCH', body, headers: { 'content-type': `application/${type}` } });
const names = (body: Fields): string[] => body.items.map((item: Fields) => item.metadata.name);

describe('errors are Status bodies (R-A10)', () => {
	test.each([
		['/api/v1/nonsense', 404, 'NotFound', 'the server could not find the requested resource'],
		[`${CONFIGS}/nope`, 404, 'NotFound', 'configmaps "nope" not found'],
		[
			'/apis/apps/v1/namespaces/default/deployments/nope',
			404,
			'NotFound',
			'deployments.apps "nope" not found',
		],
		['/apis/nope.io/v1', 404, 'NotFound', 'the server could not find the requested resource'],
		[`${CONFIGS}?labelSelector=a%20b%20c`, 400, 'BadRequest', 'unable to parse requirement'],
		[`${CONFIGS}?fieldSelector=spec.x%3D1`, 400, 'BadRequest', 'field label not supported: spec.x'],
		[`${CONFIGS}?limit=x`, 400, 'BadRequest', 'limit'],
		[`${CONFIGS}?continue=xx`, 400, 'BadRequest', 'continue'],
		[
			`${CONFIGS}?resourceVersion=5&resourceVersionMatch=Exact`,
			410,
			'Expired',
			'too old resource version: 5 (1000)',
		],
	])('GET %s -> %i', async (path, code, reason, message) => {
		const answer = await ask(path);
		expect(answer.code).toBe(code);
		expect(answer.body).toMatchObject({ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, code });
		expect(answer.body.message).toContain(message);
	});

	test.each<[string, Call, number]>([
		['POST to a name', { method: 'POST', body: config('a') }, 405],
		['broken JSON', { method: 'PUT', body: '{' }, 400],
		['unknown media type', { method: 'PUT', body: 'x', headers: { 'content-type': 'text/html' } }, 415],
		[
			'server-side apply',
			{ method: 'PATCH', body: 'x', headers: { 'content-type': 'application/apply-patch+yaml' } },
			415,
		],
		['other name in the body', { method: 'PUT', body: config('b') }, 400],
		[
			'other namespace in the body',
			{ method: 'PUT', body: { metadata: { name: 'a', namespace: 'x' } } },
			400,
		],
		['wrong type of a field', { method: 'PUT', body: { metadata: { name: 'a', labels: { a: 1 } } } }, 400],
		['too large', { method: 'PUT', body: `{"x":"${'a'.repeat(3 * 1024 * 1024)}"}` }, 413],
		['other verb', { method: 'OPTIONS' }, 405],
	])('%s', async (_name, options, code) => {
		const answer = await ask(`${CONFIGS}/a`, options);
		expect(answer.code).toBe(code);
		expect(answer.body.kind).toBe('Status');
	});

	test('422 has a cause for each field', async () => {
		const answer = await post(SERVICES, {
			metadata: { name: 'a' },
			spec: { ports: [{ port: 0 }], externalIPs: ['x'] },
		});
		expect(answer.code).toBe(422);
		expect(answer.body.details).toMatchObject({ name: 'a', kind: 'Service' });
		expect(answer.body.details.causes.map((cause: Fields) => [cause.field, cause.reason])).toEqual([
			['spec.ports[0].port', 'FieldValueInvalid'],
			['spec.ports[0].targetPort', 'FieldValueInvalid'],
			['spec.externalIPs[0]', 'FieldValueInvalid'],
		]);
	});

	test('unknown fields: refused when strict, else dropped with a warning', async () => {
		const body = { metadata: { name: 'a' }, spec: { ports: [{ port: 80, foo: 1 }] } };
		const strict = await post(`${SERVICES}?fieldValidation=Strict`, body);
		expect(strict.code).toBe(400);
		expect(strict.body.message).toBe(
			'Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.ports[0].foo"',
		);
		const lax = await post(SERVICES, body);
		expect(lax.code).toBe(201);
		expect(lax.headers['warning']).toContain('unknown field');
		expect(lax.body.spec.ports[0]).not.toHaveProperty('foo');
	});
});

describe('list', () => {
	beforeEach(async () => {
		for (const [name, app] of [
			['a', 'x'],
			['b', 'y'],
			['c', 'x'],
			['d', 'z'],
		])
			await post(CONFIGS, config(name!, { app }));
	});

	test.each([
		['app=x', ['a', 'c']],
		['app==x', ['a', 'c']],
		['app!=x', ['b', 'd']],
		['app in (y, z)', ['b', 'd']],
		['app notin (x),app', ['b', 'd']],
		['!app', []],
		['nope!=1', ['a', 'b', 'c', 'd']],
		['app,app!=y,app!=z', ['a', 'c']],
	])('labelSelector %s', async (selector, want) => {
		expect(names((await ask(`${CONFIGS}?labelSelector=${encodeURIComponent(selector)}`)).body)).toEqual(want);
	});

	test('C-20: field selectors', async () => {
		await post(SERVICES, { metadata: { name: 'h' }, spec: { clusterIP: 'None', clusterIPs: ['None'] } });
		await post(SERVICES, { metadata: { name: 'n' }, spec: { type: 'NodePort', ports: [{ port: 1 }] } });
		const by = async (text: string) =>
			names((await ask(`/api/v1/services?fieldSelector=${encodeURIComponent(text)}`)).body);
		expect(await by('spec.clusterIP!=None')).toEqual(['kubernetes', 'n']);
		expect(await by('spec.type=NodePort')).toEqual(['n']);
		expect(await by('metadata.name=h,metadata.namespace=default')).toEqual(['h']);
	});

	test('limit and continue are pages of one state', async () => {
		const first = (await ask(`${CONFIGS}?limit=2`)).body;
		expect(names(first)).toEqual(['a', 'b']);
		expect(first.metadata.remainingItemCount).toBe(2);
		await ask(`${CONFIGS}/c`, { method: 'DELETE' });
		await post(CONFIGS, config('bb'));
		const second = (await ask(`${CONFIGS}?limit=2&continue=${first.metadata.continue}`)).body;
		expect(names(second)).toEqual(['c', 'd']);
		expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
		expect(second.metadata.continue).toBeUndefined();
		api.objects.store.compact();
		await post(CONFIGS, config('e'));
		expect((await ask(`${CONFIGS}?limit=2&continue=${first.metadata.continue}`)).code).toBe(410);
	});

	test('tables have the columns of kubectl', async () => {
		const table = (await ask(SERVICES, { headers: TABLE })).body;
		expect(table.kind).toBe('Table');
		expect(table.columnDefinitions.map((column: Fields) => `${column.name}:${column.priority}`)).toEqual([
			'Name:0',
			'Type:0',
			'Cluster-IP:0',
			'External-IP:0',
			'Port(s):0',
			'Age:0',
			'Selector:1',
		]);
		expect(table.rows[0].cells.slice(0, 5)).toEqual([
			'kubernetes',
			'ClusterIP',
			'10.96.0.1',
			'<none>',
			'443/TCP',
		]);
		expect(table.rows[0].object.kind).toBe('PartialObjectMetadata');
	});

	test('A-43: deletecollection by label', async () => {
		const answer = await ask(`${CONFIGS}?labelSelector=app%3Dx`, { method: 'DELETE' });
		expect(names(answer.body)).toEqual(['a', 'c']);
		expect(names((await ask(CONFIGS)).body)).toEqual(['b', 'd']);
	});
});

describe('write', () => {
	test('PUT with a stale resourceVersion is a conflict, the same again changes nothing (R-A10)', async () => {
		const { body } = await post(CONFIGS, config('a'));
		const put = (data: Fields) => ask(`${CONFIGS}/a`, { method: 'PUT', body: { ...body, data } });
		expect((await put({ k: 'v' })).code).toBe(200);
		expect((await put({ k: 'w' })).code).toBe(409);
		const before = api.objects.store.revision;
		await ask(`${CONFIGS}/a`, { method: 'PUT', body: { metadata: { name: 'a' }, data: { k: 'v' } } });
		expect(api.objects.store.revision).toBe(before);
	});

	test('R-A10: status has its own GET, PUT and PATCH', async () => {
		await post(SERVICES, { metadata: { name: 'a' }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } });
		const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
		await patch(`${SERVICES}/a`, 'merge-patch+json', { status });
		expect((await ask(`${SERVICES}/a/status`)).body.status).toEqual({ loadBalancer: {} });
		const annotations = { patched: 'true' };
		await patch(`${SERVICES}/a/status`, 'merge-patch+json', {
			metadata: { annotations },
			status,
			spec: { type: 'NodePort' },
		});
		const { body } = await ask(`${SERVICES}/a`);
		expect(body.status.loadBalancer.ingress[0].ip).toBe('192.0.2.1');
		expect(body.metadata.annotations).toEqual(annotations);
		expect(body.spec.type).toBe('LoadBalancer');
		const cleared = await ask(`${SERVICES}/a/status`, { method: 'PUT', body: { ...body, status: {} } });
		expect(cleared.body.status).toEqual({ loadBalancer: {} });
	});

	test('scale reads and writes replicas', async () => {
		const path = '/apis/apps/v1/namespaces/default/deployments';
		const spec = {
			selector: { matchLabels: { a: 'b' } },
			template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
		};
		await post(path, { metadata: { name: 'web' }, spec });
		expect((await ask(`${path}/web/scale`)).body).toMatchObject({
			kind: 'Scale',
			apiVersion: 'autoscaling/v1',
			spec: { replicas: 1 },
			status: { selector: 'a=b' },
		});
		await patch(`${path}/web/scale`, 'merge-patch+json', { spec: { replicas: 4 } });
		expect(api.objects.get('deployments', 'default', 'web')?.spec.replicas).toBe(4);
	});

	test('dryRun answers and stores nothing', async () => {
		const answer = await post(`${SERVICES}?dryRun=All`, {
			metadata: { name: 'a' },
			spec: { ports: [{ port: 80 }] },
		});
		expect(answer.body.spec.clusterIP).toMatch(/^10\.96\./);
		expect((await ask(`${SERVICES}/a`)).code).toBe(404);
	});

	test('DELETE answers with a Status or with the pod that is still there', async () => {
		await post(CONFIGS, config('a'));
		expect((await ask(`${CONFIGS}/a`, { method: 'DELETE' })).body).toMatchObject({
			kind: 'Status',
			status: 'Success',
			details: { name: 'a', kind: 'configmaps' },
		});
		const pods = '/api/v1/namespaces/default/pods';
		await post(pods, {
			metadata: { name: 'p' },
			spec: { nodeName: 'n', containers: [{ name: 'c', image: 'x' }] },
		});
		const wrong = { preconditions: { uid: 'other' } };
		expect((await ask(`${pods}/p`, { method: 'DELETE', body: wrong })).code).toBe(409);
		const gone = await ask(`${pods}/p`, { method: 'DELETE', body: { gracePeriodSeconds: 5 } });
		expect(gone.body.metadata.deletionGracePeriodSeconds).toBe(5);
		await ask(`${pods}/p?gracePeriodSeconds=0`, { method: 'DELETE' });
		expect((await ask(`${pods}/p`)).code).toBe(404);
	});

	test('pods/binding sets the node', async () => {
		const pods = '/api/v1/namespaces/default/pods';
		await post(pods, { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'x' }] } });
		expect((await post(`${pods}/p/binding`, { target: { name: 'node1' } })).code).toBe(201);
		expect((await ask(`${pods}/p`)).body.spec.nodeName).toBe('node1');
	});

	test('events are one store seen through two groups', async () => {
		const event = {
			metadata: { name: 'e' },
			involvedObject: { kind: 'Pod', name: 'p' },
			message: 'hello',
			reason: 'R',
		};
		await post('/api/v1/namespaces/default/events', event);
		const path = '/apis/events.k8s.io/v1/namespaces/default/events/e';
		const { body } = await ask(path);
		expect(body).toMatchObject({ apiVersion: 'events.k8s.io/v1', regarding: { name: 'p' }, note: 'hello' });
		const changed = await patch(path, 'merge-patch+json', { note: 'bye' });
		expect(changed.body).toMatchObject({ regarding: { name: 'p' }, note: 'bye' });
		expect(api.objects.get('events', 'default', 'e')).toMatchObject({
			apiVersion: 'v1',
			involvedObject: { name: 'p' },
			message: 'bye',
		});
	});

	test('ServiceCIDRs are one store in two versions', async () => {
		const [v1, beta] = ['v1', 'v1beta1'].map((version) => `/apis/networking.k8s.io/${version}/servicecidrs`);
		const apiVersion = 'networking.k8s.io/v1beta1';
		const made = await post(beta!, {
			apiVersion,
			metadata: { name: 'more' },
			spec: { cidrs: ['10.97.0.0/24'] },
		});
		expect([made.code, made.body.apiVersion]).toEqual([201, apiVersion]);
		expect((await ask(`${v1}/more`)).body).toMatchObject({
			apiVersion: 'networking.k8s.io/v1',
			spec: { cidrs: ['10.97.0.0/24'] },
		});
		expect((await ask('/apis/networking.k8s.io')).body).toMatchObject({
			versions: [{ version: 'v1' }, { version: 'v1beta1' }],
			preferredVersion: { version: 'v1' },
		});
	});

	test('an invalid object can be stored where the server allows it', async () => {
		const bad = { metadata: { name: 'bad' }, spec: { clusterIP: 'x', ports: [{ port: 99999 }] } };
		const answer = await ask(SERVICES, { method: 'POST', body: bad, headers: { 'x-maglane-unsafe': '1' } });
		expect(answer.code).toBe(201);
		expect(api.objects.get('services', 'default', 'bad')?.spec.clusterIP).toBe('x');
	});
});

test('discovery, version, health and OpenAPI answer', async () => {
	expect((await ask('/version')).body.minor).toBe('32');
	expect((await ask('/healthz')).body).toBe('ok');
	const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
	const groups = (await ask('/apis', { headers: { accept } })).body;
	expect(names(groups)).toEqual([
		'apps',
		'coordination.k8s.io',
		'discovery.k8s.io',
		'networking.k8s.io',
		'rbac.authorization.k8s.io',
		'events.k8s.io',
		'authorization.k8s.io',
		'authentication.k8s.io',
	]);
	expect((await ask('/api/v1')).body.resources.map((entry: Fields) => entry.name)).toContain(
		'services/status',
	);
	const index = (await ask('/openapi/v3')).body.paths;
	const { components } = (await ask(index['api/v1'].serverRelativeURL)).body;
	expect(components.schemas['io.k8s.api.v1.ServiceSpec'].properties.ports).toMatchObject({
		type: 'array',
		'x-kubernetes-patch-merge-key': 'port',
	});
});

test('an API without credentials has no listener', async () => {
	const closed = createApi();
	await expect(closed.listen({ port: 0 })).rejects.toThrow('no credentials');
	await closed.close();
});
