import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createTestCluster, service, type TestCluster } from './controller-cluster.ts';
import { MANAGED_BY, SERVICE_NAME, viewsOf } from './controller-views.ts';

let cluster: TestCluster;
const { slices, endpoints, pods, all, edit, serve } = viewsOf(() => cluster);

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1', 'zone-a');
	cluster.addNode('node2', 'zone-b');
});

afterEach(() => cluster.stop());

const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

describe('EndpointSlices', () => {
	it('say of each pod its address, conditions, node, zone and reference (B R-9)', async () => {
		await serve(1);
		const [slice] = slices();
		const [pod] = pods();
		expect(slices()).toHaveLength(1);
		expect(slice!.metadata.name).toMatch(/^web-[a-z0-9]{5}$/);
		expect(slice!.metadata.labels).toEqual({
			[MANAGED_BY]: 'endpointslice-controller.k8s.io',
			[SERVICE_NAME]: 'web',
		});
		expect(slice!.metadata.ownerReferences).toMatchObject([
			{ apiVersion: 'v1', kind: 'Service', name: 'web' },
		]);
		expect(slice!.metadata.annotations![TRIGGER_TIME]).toMatch(/^2026-01-01T00:00:00/);
		expect(slice).toMatchObject({ addressType: 'IPv4', ports: [{ name: '', port: 8080, protocol: 'TCP' }] });
		expect(slice!.endpoints).toEqual([
			{
				addresses: [pod!.status!.podIP],
				conditions: { ready: true, serving: true, terminating: false },
				nodeName: 'node1',
				targetRef: { kind: 'Pod', namespace: 'default', name: pod!.metadata.name, uid: pod!.metadata.uid },
				zone: 'zone-a',
			},
		]);
	});

	it('copy the labels of the Service without the reserved ones, and mark a headless one (B R-9)', async () => {
		const object = service('web', { clusterIP: 'None' });
		object.metadata.labels = { tier: 'front', [MANAGED_BY]: 'me', [SERVICE_NAME]: 'x' };
		cluster.api.create('services', object);
		await cluster.converge();
		for (const slice of slices())
			expect(slice.metadata.labels).toEqual({
				tier: 'front',
				'service.kubernetes.io/headless': '',
				[MANAGED_BY]: 'endpointslice-controller.k8s.io',
				[SERVICE_NAME]: 'web',
			});
		edit('web', ({ metadata }) => {
			metadata.labels = { tier: 'back' };
		});
		await cluster.converge();
		expect(slices()[0]!.metadata.labels).toMatchObject({ tier: 'back' });
	});

	it('keep exactly one empty slice a family for a Service without pods (A-101), the same one over time', async () => {
		await serve(0);
		const [placeholder] = slices();
		expect(slices()).toHaveLength(1);
		expect(placeholder).toMatchObject({ endpoints: [], ports: [], addressType: 'IPv4' });
		expect(endpoints()!.subsets ?? []).toEqual([]);
		const object = cluster.api.get('deployments', 'default', 'web')!;
		cluster.api.update('deployments', { ...object, spec: { ...object.spec, replicas: 1 } });
		await cluster.converge();
		expect(slices()).toHaveLength(1);
		expect(slices()[0]!.metadata.name).toBe(placeholder!.metadata.name);
		expect(slices()[0]!.ports).toHaveLength(1);
	});

	it('go with their Service, and the Endpoints too', async () => {
		await serve(2);
		cluster.api.delete('services', 'default', 'web');
		await cluster.converge();
		expect(slices()).toEqual([]);
		expect(endpoints()).toBeUndefined();
	});

	it.each([
		['Running and ready', true, false, { ready: true, serving: true, terminating: false }],
		['not ready', false, false, { ready: false, serving: false, terminating: false }],
		['not ready, publishNotReadyAddresses', false, true, { ready: true, serving: false, terminating: false }],
	])('conditions of a pod that is %s (B-82)', async (_what, ready, publishNotReadyAddresses, conditions) => {
		await serve(1, { publishNotReadyAddresses });
		cluster.setReady(pods()[0]!, ready);
		await cluster.converge();
		expect(all()[0]!.conditions).toEqual(conditions);
		const field = ready || publishNotReadyAddresses ? 'addresses' : 'notReadyAddresses';
		expect(endpoints()!.subsets![0]![field]).toHaveLength(1);
	});

	it('keep a terminating pod as serving, not ready; Endpoints leave it out (B R-9)', async () => {
		await serve(2);
		const { name } = pods()[0]!.metadata;
		cluster.api.delete('pods', 'default', name);
		await cluster.settle();
		const leaving = all().find((endpoint) => endpoint.targetRef!.name === name);
		expect(leaving!.conditions).toEqual({ ready: false, serving: true, terminating: true });
		const listed = endpoints()!.subsets!.flatMap((subset) => subset.addresses ?? []);
		expect(listed.some((address) => address.targetRef!.name === name)).toBe(false);
	});

	it.each(['Succeeded', 'Failed'])('leave out a pod that %s (B R-9)', async (phase) => {
		await serve(0);
		cluster.api.create('pods', {
			metadata: { name: 'job', namespace: 'default', labels: { app: 'web' } },
			spec: { containers: [{ name: 'c', image: 'i' }], restartPolicy: 'Never' },
		});
		await cluster.converge();
		expect(all()).toHaveLength(1);
		const pod = cluster.api.get('pods', 'default', 'job')!;
		cluster.api.update('pods', { ...pod, status: { ...pod.status, phase } }, 'status');
		await cluster.converge();
		expect(all()).toHaveLength(0);
		expect(slices()).toHaveLength(1);
	});

	it.each([
		['svc', 'web', 'web', 'db-0'],
		['another subdomain', 'other', 'web', undefined],
	])('hostname iff the subdomain is the Service: %s (B R-9)', async (_what, subdomain, _svc, hostname) => {
		cluster.api.create('services', service('web', { clusterIP: 'None' }));
		cluster.api.create('pods', {
			metadata: { name: 'p', namespace: 'default', labels: { app: 'web' } },
			spec: { containers: [{ name: 'c', image: 'i' }], hostname: 'db-0', subdomain },
		});
		await cluster.converge();
		expect(all()[0]!.hostname).toBe(hostname);
		expect(endpoints()!.subsets![0]!.addresses![0]!.hostname).toBe(hostname);
	});

	it('of pods with different numbers for a named port are different slices (B R-9)', async () => {
		cluster.api.create(
			'services',
			service('web', { ports: [{ name: 'http', port: 80, targetPort: 'web' }] }),
		);
		for (const [name, containerPort] of [
			['a', 8080],
			['b', 8080],
			['c', 9090],
		] as const)
			cluster.api.create('pods', {
				metadata: { name, namespace: 'default', labels: { app: 'web' } },
				spec: { containers: [{ name: 'c', image: 'i', ports: [{ name: 'web', containerPort }] }] },
			});
		await cluster.converge();
		const found = slices().map((slice) => [slice.ports![0]!.port, slice.endpoints!.length]);
		expect(found.sort()).toEqual([
			[8080, 2],
			[9090, 1],
		]);
		expect(endpoints()!.subsets!.map((subset) => subset.ports)).toEqual([
			[{ name: 'http', port: 8080, protocol: 'TCP' }],
			[{ name: 'http', port: 9090, protocol: 'TCP' }],
		]);
	});

	it('cost no write when nothing of a pod, a node or the Service changed that they show', async () => {
		await serve(3);
		const before = slices().map(({ metadata }) => metadata.resourceVersion);
		const pod = cluster.api.get('pods', 'default', pods()[0]!.metadata.name)!;
		cluster.api.update('pods', { ...pod, status: { ...pod.status, message: 'hello' } }, 'status');
		const node = cluster.api.get('nodes', undefined, 'node1')!;
		cluster.api.update('nodes', { ...node, status: { ...node.status, phase: 'Running' } }, 'status');
		const writes = cluster.writes();
		await cluster.converge();
		expect(cluster.writes()).toBe(writes);
		expect(slices().map(({ metadata }) => metadata.resourceVersion)).toEqual(before);
	});

	it('of one pod among 500 Services cost two writes and no scan', async () => {
		for (let i = 0; i < 500; i++) cluster.api.create('services', service(`svc-${i}`));
		for (let i = 0; i < 500; i++)
			cluster.api.create('pods', {
				metadata: { name: `pod-${i}`, namespace: 'default', labels: { app: `svc-${i}` } },
				spec: { containers: [{ name: 'c', image: 'i' }] },
			});
		await cluster.converge();
		const pod = cluster.api.get('pods', 'default', 'pod-77')!;
		const list = vi.spyOn(cluster.api, 'list');
		const get = vi.spyOn(cluster.api, 'get');
		cluster.setReady(pod, false);
		const writes = cluster.writes();
		await cluster.settle();
		expect(cluster.writes() - writes).toBe(2);
		expect(list).not.toHaveBeenCalled();
		expect(get.mock.calls.length).toBeLessThan(20);
		expect(slices('svc-77')[0]!.endpoints![0]!.conditions!.ready).toBe(false);
	});

	it('are put right again when somebody else changes or deletes them', async () => {
		await serve(2);
		const [slice] = slices();
		cluster.api.update('endpointslices', { ...slice!, endpoints: [] });
		await cluster.converge();
		expect(all()).toHaveLength(2);
		cluster.api.delete('endpointslices', 'default', slices()[0]!.metadata.name);
		cluster.api.delete('endpoints', 'default', 'web');
		await cluster.converge();
		expect(all()).toHaveLength(2);
		expect(endpoints()!.subsets![0]!.addresses).toHaveLength(2);
	});

	it('250 pods fill slices of 100, 100 and 50; one pod less changes one slice (B-80)', async () => {
		await serve(250);
		const sizes = () =>
			slices()
				.map((slice) => slice.endpoints!.length)
				.sort((a, b) => b - a);
		expect(sizes()).toEqual([100, 100, 50]);
		const before = new Map(slices().map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
		cluster.setReady(pods()[7]!, false);
		await cluster.converge();
		const changed = slices().filter(({ metadata }) => before.get(metadata.name) !== metadata.resourceVersion);
		expect(changed).toHaveLength(1);
	});
});
