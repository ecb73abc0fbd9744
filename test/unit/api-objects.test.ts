import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Api, type ApiError, createApi } from '../../standalone/api/index.ts';
import type { ConfigMap, Deployment, KubeObject, ObjectEvent, Pod } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';

const apis: Api[] = [];
function open(options: Parameters<typeof createApi>[0] = {}): Api {
	const api = createApi({ clock: () => Date.parse('2026-01-01T00:00:00Z'), ...options });
	apis.push(api);
	return api;
}
afterEach(async () => {
	for (const api of apis.splice(0)) await api.close();
});

const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
const deployment = (name: string): Deployment => ({
	metadata: { name, namespace: 'default' },
	spec: { selector: { matchLabels: { app: 'a' } }, template },
});
const pod = (name: string, spec: Fields = {}, metadata: Fields = {}): Pod => ({
	metadata: { name, namespace: 'default', ...metadata },
	spec: { containers: [{ name: 'c', image: 'nginx' }], ...spec },
});
const config = (name: string, metadata: Fields = {}): ConfigMap => ({
	metadata: { name, namespace: 'default', ...metadata },
	data: { a: 'b' },
});

function refusal(run: () => unknown): ApiError {
	try {
		run();
	} catch (error) {
		return error as ApiError;
	}
	throw new Error('nothing was refused');
}

function record(api: Api, resource: string): string[] {
	const seen: string[] = [];
	api.objects.watch(resource, ({ type, object }: ObjectEvent) =>
		seen.push(`${type} ${object.metadata.name}`),
	);
	return seen;
}

describe('a fresh API', () => {
	test('A-01: has default/kubernetes with https 443, the namespaces and their service accounts', () => {
		const { objects } = open();
		expect(objects.get('services', 'default', 'kubernetes')?.spec).toMatchObject({
			clusterIP: '10.96.0.1',
			ports: [{ name: 'https', port: 443, protocol: 'TCP' }],
		});
		const names = objects.list('namespaces').map((object) => object.metadata.name);
		expect(names).toEqual(['default', 'kube-node-lease', 'kube-public', 'kube-system']);
		expect(objects.list('serviceaccounts').map((object) => object.metadata.namespace)).toEqual(names);
	});

	test('default/kubernetes comes back when it is deleted', () => {
		const { objects } = open();
		objects.delete('services', 'default', 'kubernetes');
		expect(objects.get('services', 'default', 'kubernetes')?.spec.clusterIP).toBe('10.96.0.1');
	});
});

describe('Objects.create()', () => {
	test('fills in metadata and defaults', () => {
		const { objects } = open({ uid: () => 'u' });
		const made = objects.create('deployments', deployment('web'));
		expect(made.metadata).toMatchObject({
			uid: 'u',
			generation: 1,
			creationTimestamp: '2026-01-01T00:00:00Z',
		});
		expect(made.spec).toMatchObject({
			replicas: 1,
			revisionHistoryLimit: 10,
			progressDeadlineSeconds: 600,
			strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
		});
		expect(objects.create('pods', pod('p')).spec).toMatchObject({
			restartPolicy: 'Always',
			dnsPolicy: 'ClusterFirst',
			terminationGracePeriodSeconds: 30,
			enableServiceLinks: true,
			serviceAccountName: 'default',
			containers: [{ imagePullPolicy: 'Always' }],
		});
	});

	test('refuses what is there, what has no namespace and what is invalid', () => {
		const { objects } = open();
		objects.create('configmaps', config('a'));
		expect(refusal(() => objects.create('configmaps', config('a')))).toMatchObject({
			code: 409,
			reason: 'AlreadyExists',
			message: 'configmaps "a" already exists',
		});
		const lost = { metadata: { name: 'a', namespace: 'nope' } };
		expect(refusal(() => objects.create('configmaps', lost))).toMatchObject({
			code: 404,
			message: 'namespaces "nope" not found',
		});
		const broken = refusal(() =>
			objects.create('deployments', { metadata: { name: 'x', namespace: 'default' }, spec: {} as Fields }),
		);
		expect(broken).toMatchObject({ code: 422, details: { name: 'x', group: 'apps', kind: 'Deployment' } });
		expect(broken.details?.causes?.map((cause) => cause.field)).toEqual([
			'spec.selector',
			'spec.template.spec.containers',
		]);
	});

	test('a status in the manifest of a workload is not believed', () => {
		const { objects } = open();
		const status = { phase: 'Running', podIP: '10.0.0.1', conditions: [{ type: 'Ready', status: 'True' }] };
		expect(objects.create('pods', { ...pod('p'), status }).status).toEqual({
			phase: 'Pending',
			qosClass: 'BestEffort',
		});
		expect(objects.create('deployments', { ...deployment('d'), status: { replicas: 3 } }).status).toEqual({});
	});

	test.each([
		['v1', 'Service', 400],
		['v2', 'ConfigMap', 400],
	])('refuses %s %s as a config map', (apiVersion, kind, code) => {
		const { objects } = open();
		expect(refusal(() => objects.create('configmaps', { apiVersion, kind, ...config('a') })).code).toBe(code);
	});

	test('generates names', () => {
		const { objects } = open();
		const made = objects.create('pods', pod('', {}, { name: undefined, generateName: 'web-' }));
		expect(made.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
	});

	test('refuses malformed endpoints with their field', () => {
		const { objects } = open();
		const slice = {
			metadata: { name: 's', namespace: 'default' },
			addressType: 'IPv4',
			endpoints: [{ addresses: ['fd00::1'] }],
			ports: [{ port: 70000 }],
		};
		expect(
			refusal(() => objects.create('endpointslices', slice)).details?.causes?.map((cause) => cause.field),
		).toEqual(['endpoints[0].addresses[0]', 'ports[0].port']);
	});
});

describe('Objects.update()', () => {
	test('raises the generation for spec changes only, and keeps status apart', () => {
		const { objects } = open();
		const made = objects.create('deployments', deployment('web'));
		const scaled = objects.update('deployments', {
			...made,
			spec: { ...made.spec, replicas: 3 },
			status: { replicas: 9 },
		});
		expect(scaled.metadata.generation).toBe(2);
		expect(scaled.status).toEqual({});
		const status = objects.update(
			'deployments',
			{ ...scaled, spec: {} as Fields, status: { replicas: 3 } },
			'status',
		);
		expect(status.metadata.generation).toBe(2);
		expect(status.spec.replicas).toBe(3);
		expect(status.status).toEqual({ replicas: 3 });
	});

	test('refuses a stale resourceVersion', () => {
		const { objects } = open();
		const made = objects.create('configmaps', config('a'));
		objects.update('configmaps', { ...made, data: { a: 'c' } });
		expect(refusal(() => objects.update('configmaps', { ...made, data: { a: 'd' } }))).toMatchObject({
			code: 409,
			reason: 'Conflict',
			message:
				'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
		});
	});

	test('without a change writes nothing and tells nobody', () => {
		const api = open();
		const made = api.objects.create('configmaps', config('a'));
		const seen = record(api, 'configmaps');
		expect(api.objects.update('configmaps', config('a'))).toBe(made);
		expect(seen).toEqual(['ADDED a']);
	});

	test('refuses a pod whose fixed fields change, but lets a node be set once', () => {
		const { objects } = open();
		objects.create('pods', pod('p'));
		const bound = objects.update('pods', pod('p', { nodeName: 'node1' }));
		expect(bound.spec.nodeName).toBe('node1');
		expect(refusal(() => objects.update('pods', pod('p', { nodeName: 'node2' }))).message).toContain(
			'spec: Forbidden: pod updates',
		);
		const image = pod('p', {
			nodeName: 'node1',
			containers: [{ name: 'c', image: 'nginx:2', imagePullPolicy: 'Always' }],
		});
		expect(objects.update('pods', image).spec.containers[0]!.image).toBe('nginx:2');
	});

	test('stored objects are frozen', () => {
		const { objects } = open();
		const made = objects.create('configmaps', config('a'));
		expect(() => {
			made.data!['a'] = 'x';
		}).toThrow(TypeError);
	});
});

describe('Objects.delete()', () => {
	test('a pod on a node waits for its node', () => {
		const api = open();
		api.objects.create('pods', pod('p', { nodeName: 'node1' }));
		const seen = record(api, 'pods');
		api.objects.delete('pods', 'default', 'p');
		expect(api.objects.get('pods', 'default', 'p')?.metadata).toMatchObject({
			deletionTimestamp: '2026-01-01T00:00:30Z',
			deletionGracePeriodSeconds: 30,
		});
		api.objects.delete('pods', 'default', 'p');
		api.objects.delete('pods', 'default', 'p', 0);
		expect(api.objects.get('pods', 'default', 'p')).toBeUndefined();
		expect(seen).toEqual(['ADDED p', 'MODIFIED p', 'DELETED p']);
	});

	test('a pod without a node goes at once', () => {
		const { objects } = open();
		objects.create('pods', pod('p'));
		objects.delete('pods', 'default', 'p');
		expect(objects.list('pods')).toEqual([]);
		expect(refusal(() => objects.delete('pods', 'default', 'p'))).toMatchObject({
			code: 404,
			reason: 'NotFound',
		});
	});

	const ownedBy = (owner: KubeObject) => ({
		ownerReferences: [
			{
				apiVersion: 'v1',
				kind: 'ConfigMap',
				name: owner.metadata.name,
				uid: owner.metadata.uid!,
				controller: true,
				blockOwnerDeletion: true,
			},
		],
	});

	test('dependents go with the last owner, through all levels', () => {
		const { objects } = open();
		const top = objects.create('configmaps', config('top'));
		const middle = objects.create('configmaps', config('middle', ownedBy(top)));
		objects.create('configmaps', config('leaf', ownedBy(middle)));
		objects.create('configmaps', config('other'));
		objects.delete('configmaps', 'default', 'top');
		expect(objects.list('configmaps').map((object) => object.metadata.name)).toEqual(['other']);
	});

	test('Orphan leaves dependents without the reference', () => {
		const { objects } = open();
		const top = objects.create('configmaps', config('top'));
		objects.create('configmaps', config('leaf', ownedBy(top)));
		objects.remove('configmaps', 'default', 'top', { propagationPolicy: 'Orphan' });
		expect(objects.list('configmaps')).toHaveLength(1);
		expect(objects.list('configmaps')[0]!.metadata.ownerReferences).toBeUndefined();
	});

	test('a dry run takes nothing away, not even references', () => {
		const { objects } = open();
		const owner = objects.create('configmaps', config('owner'));
		const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid: owner.metadata.uid! };
		objects.create('configmaps', config('owned', { ownerReferences: [reference] }));
		const { revision } = objects.store;
		for (const propagationPolicy of ['Orphan', 'Foreground', 'Background'] as const)
			objects.remove('configmaps', 'default', 'owner', { propagationPolicy, dryRun: true });
		expect(objects.store.revision).toBe(revision);
	});

	test('Foreground keeps the owner until its dependents are gone', () => {
		const { objects } = open();
		const top = objects.create('configmaps', config('top'));
		objects.create('pods', pod('p', { nodeName: 'node1' }, ownedBy(top)));
		const left = objects.remove('configmaps', 'default', 'top', { propagationPolicy: 'Foreground' });
		expect(left?.metadata.finalizers).toEqual(['foregroundDeletion']);
		expect(objects.get('pods', 'default', 'p')?.metadata.deletionTimestamp).toBeDefined();
		objects.delete('pods', 'default', 'p', 0);
		expect(objects.get('configmaps', 'default', 'top')).toBeUndefined();
	});

	test('a dependent whose owners never existed is collected', async () => {
		const { objects } = open();
		objects.create('configmaps', config('leaf', ownedBy({ metadata: { name: 'ghost', uid: 'no-such' } })));
		await vi.waitFor(() => expect(objects.list('configmaps')).toEqual([]));
	});

	test('finalizers hold an object until they are taken away', () => {
		const { objects } = open();
		objects.create('configmaps', config('a', { finalizers: ['example.org/hold'] }));
		objects.delete('configmaps', 'default', 'a');
		const held = structuredClone(objects.get('configmaps', 'default', 'a')!);
		expect(held.metadata.deletionTimestamp).toBeDefined();
		held.metadata.finalizers = [];
		objects.update('configmaps', held);
		expect(objects.get('configmaps', 'default', 'a')).toBeUndefined();
	});

	test('a namespace takes its contents along and waits for running pods', () => {
		const { objects } = open();
		objects.create('namespaces', { metadata: { name: 'n' }, spec: {} });
		objects.create('configmaps', { metadata: { name: 'c', namespace: 'n' } });
		objects.create('pods', { ...pod('p', { nodeName: 'node1' }), metadata: { name: 'p', namespace: 'n' } });
		objects.delete('namespaces', undefined, 'n');
		expect(objects.get('namespaces', undefined, 'n')?.status?.phase).toBe('Terminating');
		expect(objects.list('configmaps', 'n')).toEqual([]);
		expect(
			refusal(() => objects.create('configmaps', { metadata: { name: 'c', namespace: 'n' } })),
		).toMatchObject({
			code: 403,
			message:
				'configmaps "c" is forbidden: unable to create new content in namespace n because it is being terminated',
		});
		objects.delete('pods', 'n', 'p', 0);
		expect(objects.get('namespaces', undefined, 'n')).toBeUndefined();
		expect(objects.list('serviceaccounts', 'n')).toEqual([]);
	});
});

test.each(['default', 'kube-system', 'kube-public'])('namespace %s may not be deleted', (name) => {
	expect(refusal(() => open().objects.delete('namespaces', undefined, name))).toMatchObject({
		code: 403,
		message: `namespaces "${name}" is forbidden: this namespace may not be deleted`,
	});
});

describe('Objects.watch()', () => {
	test('delivers in commit order when a listener writes', () => {
		const api = open();
		const orders: string[][] = [[], []];
		api.objects.watch('configmaps', ({ type, object }) => {
			orders[0]!.push(`${type} ${object.metadata.name}`);
			if (object.metadata.name === 'a') api.objects.create('configmaps', config('b'));
		});
		api.objects.watch('configmaps', ({ type, object }) => orders[1]!.push(`${type} ${object.metadata.name}`));
		api.objects.create('configmaps', config('a'));
		expect(orders).toEqual([
			['ADDED a', 'ADDED b'],
			['ADDED a', 'ADDED b'],
		]);
	});

	test('starts with what is there, and stops', () => {
		const api = open();
		api.objects.create('configmaps', config('a'));
		const seen: string[] = [];
		const stop = api.objects.watch('configmaps', ({ object }) => seen.push(object.metadata.name));
		stop();
		api.objects.create('configmaps', config('b'));
		expect(seen).toEqual(['a']);
	});

	test("a listener's exception reaches neither the writer nor other listeners", () => {
		const errors: unknown[] = [];
		const api = open({ onListenerError: (error) => errors.push(error) });
		api.objects.watch('configmaps', () => {
			throw new Error('broken listener');
		});
		const seen = record(api, 'configmaps');
		api.objects.create('configmaps', config('a'));
		expect(seen).toEqual(['ADDED a']);
		expect(errors).toEqual([new Error('broken listener')]);
	});
});

test('unsafePut() stores what validation refuses', () => {
	const api = open();
	const seen = record(api, 'services');
	api.objects.unsafePut('services', {
		metadata: { name: 'bad', namespace: 'default' },
		spec: { clusterIP: 'not-an-ip', ports: [{ port: 99999 }] },
	});
	expect(api.objects.get('services', 'default', 'bad')?.spec.clusterIP).toBe('not-an-ip');
	expect(seen.at(-1)).toBe('ADDED bad');
	api.objects.delete('services', 'default', 'bad');
	expect(api.objects.get('services', 'default', 'bad')).toBeUndefined();
});

test('events are gone an hour after their last write', () => {
	let now = Date.parse('2026-01-01T00:00:00Z');
	const { objects } = open({ clock: () => now });
	const event = (name: string) => ({
		metadata: { name, namespace: 'default' },
		involvedObject: {},
		message: 'm',
	});
	objects.create('events', event('old'));
	now += 3_599_000;
	objects.create('events', event('young'));
	expect(objects.list('events')).toHaveLength(2);
	now += 2000;
	objects.create('events', event('new'));
	expect(objects.list('events').map((object) => object.metadata.name)).toEqual(['new', 'young']);
});
