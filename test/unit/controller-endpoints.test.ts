import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { KubeObject } from '../../agent/standalone/port.ts';
import { createTestCluster, deployment, service, type TestCluster } from './controller-cluster.ts';

let cluster: TestCluster;

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1', 'zone-a');
	cluster.addNode('node2', 'zone-b');
});

afterEach(() => cluster.stop());

const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const SERVICE_NAME = 'kubernetes.io/service-name';
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

const slices = (name = 'web') =>
	cluster.api
		.list('endpointslices', 'default')
		.filter(({ metadata }) => metadata.labels?.[SERVICE_NAME] === name);
const endpoints = (name = 'web') => cluster.api.get('endpoints', 'default', name);
const pods = () => cluster.api.list('pods', 'default');
const ofFamily = (family: string) => slices().filter(({ addressType }) => addressType === family);
const all = (family = 'IPv4') => ofFamily(family).flatMap((slice) => slice.endpoints);
const edit = (name: string, change: (object: KubeObject) => void) => {
	const object = structuredClone(cluster.api.get('services', 'default', name)!);
	change(object);
	return cluster.api.update('services', object);
};

async function serve(replicas: number, spec: Record<string, unknown> = {}): Promise<void> {
	cluster.api.create('services', service('web', spec));
	cluster.api.create('deployments', deployment('web', replicas));
	await cluster.converge();
}

describe('EndpointSlices', () => {
	it('say of each pod its address, conditions, node, zone and reference (R-9)', async () => {
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
				addresses: [pod!.status.podIP],
				conditions: { ready: true, serving: true, terminating: false },
				nodeName: 'node1',
				targetRef: { kind: 'Pod', namespace: 'default', name: pod!.metadata.name, uid: pod!.metadata.uid },
				zone: 'zone-a',
			},
		]);
	});

	it('copy the labels of the Service without the reserved ones, and mark a headless one (R-9)', async () => {
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
		expect(all()[0].conditions).toEqual(conditions);
		const field = ready || publishNotReadyAddresses ? 'addresses' : 'notReadyAddresses';
		expect(endpoints()!.subsets[0][field]).toHaveLength(1);
	});

	it('keep a terminating pod as serving, not ready; Endpoints leave it out (R-9)', async () => {
		await serve(2);
		const { name } = pods()[0]!.metadata;
		cluster.api.delete('pods', 'default', name);
		await cluster.settle();
		const leaving = all().find((endpoint) => endpoint.targetRef.name === name);
		expect(leaving.conditions).toEqual({ ready: false, serving: true, terminating: true });
		const listed = endpoints()!.subsets.flatMap((subset: KubeObject) => subset['addresses'] ?? []);
		expect(listed.some((address: KubeObject) => address['targetRef'].name === name)).toBe(false);
	});

	it.each(['Succeeded', 'Failed'])('leave out a pod that %s (R-9)', async (phase) => {
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
	])('hostname iff the subdomain is the Service: %s (R-9)', async (_what, subdomain, _svc, hostname) => {
		cluster.api.create('services', service('web', { clusterIP: 'None' }));
		cluster.api.create('pods', {
			metadata: { name: 'p', namespace: 'default', labels: { app: 'web' } },
			spec: { containers: [{ name: 'c', image: 'i' }], hostname: 'db-0', subdomain },
		});
		await cluster.converge();
		expect(all()[0].hostname).toBe(hostname);
		expect(endpoints()!.subsets[0].addresses[0].hostname).toBe(hostname);
	});

	it('of pods with different numbers for a named port are different slices (R-9)', async () => {
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
		const found = slices().map((slice) => [slice.ports[0].port, slice.endpoints.length]);
		expect(found.sort()).toEqual([
			[8080, 2],
			[9090, 1],
		]);
		expect(endpoints()!.subsets.map((subset: KubeObject) => subset['ports'])).toEqual([
			[{ name: 'http', port: 8080, protocol: 'TCP' }],
			[{ name: 'http', port: 9090, protocol: 'TCP' }],
		]);
	});

	it.each([
		['IPv4', { ipFamilies: ['IPv4'] }, ['IPv4'], '10.244.'],
		['IPv6', { ipFamilies: ['IPv6'] }, ['IPv6'], 'fd00:'],
		[
			'v4, v6',
			{ ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv4', 'IPv6'] },
			['IPv4', 'IPv6'],
			'10.244.',
		],
		[
			'v6, v4',
			{ ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] },
			['IPv4', 'IPv6'],
			'fd00:',
		],
	])(
		'of a Service with families %s; Endpoints have the first only (B-85, A-95)',
		async (_what, spec, types, first) => {
			await serve(2, spec);
			expect(
				slices()
					.map(({ addressType }) => addressType)
					.sort(),
			).toEqual(types);
			for (const type of types) expect(all(type)).toHaveLength(2);
			const listed = endpoints()!.subsets.flatMap((subset: KubeObject) => subset['addresses']);
			expect(listed).toHaveLength(2);
			for (const { ip } of listed) expect(ip.startsWith(first)).toBe(true);
		},
	);

	it('follow a Service that becomes dual-stack and back', async () => {
		await serve(2);
		edit('web', ({ spec }) => {
			spec.ipFamilyPolicy = 'RequireDualStack';
		});
		await cluster.converge();
		expect(all('IPv6')).toHaveLength(2);
		edit('web', ({ spec }) => {
			spec.ipFamilyPolicy = 'SingleStack';
			spec.ipFamilies = ['IPv4'];
			spec.clusterIPs = [spec.clusterIP];
		});
		await cluster.converge();
		expect(ofFamily('IPv6')).toEqual([]);
		expect(all('IPv4')).toHaveLength(2);
	});

	it.each([
		['PreferClose', [[{ name: 'zone-a' }], [{ name: 'zone-b' }]], [undefined, undefined]],
		['PreferSameZone', [[{ name: 'zone-a' }], [{ name: 'zone-b' }]], [undefined, undefined]],
		[
			'PreferSameNode',
			[[{ name: 'zone-a' }], [{ name: 'zone-b' }]],
			[[{ name: 'node1' }], [{ name: 'node2' }]],
		],
	])(
		'hints with trafficDistribution %s, gone without it (B-87, R-12)',
		async (trafficDistribution, zones, nodes) => {
			await serve(2);
			const write = (to?: string) =>
				edit('web', ({ spec }) => {
					if (to) spec.trafficDistribution = to;
					else delete spec.trafficDistribution;
				});
			write(trafficDistribution);
			await cluster.converge();
			const sorted = () => all().toSorted((a, b) => (a.zone < b.zone ? -1 : 1));
			expect(sorted().map(({ hints }) => hints.forZones)).toEqual(zones);
			expect(sorted().map(({ hints }) => hints.forNodes)).toEqual(nodes);
			write();
			await cluster.converge();
			expect(all().map(({ hints }) => hints)).toEqual([undefined, undefined]);
		},
	);

	it('has no zone hint for an endpoint without a zone; topology-mode Auto wins over the field (R-12)', async () => {
		cluster.addNode('node0');
		await serve(1, { trafficDistribution: 'PreferClose' });
		expect(all()[0]).toMatchObject({ nodeName: 'node0' });
		expect(all()[0].hints).toBeUndefined();
		const node = cluster.api.get('nodes', undefined, 'node0')!;
		const labels = { 'topology.kubernetes.io/zone': 'zone-c' };
		cluster.api.update('nodes', { ...node, metadata: { ...node.metadata, labels } });
		await cluster.converge();
		expect(all()[0]).toMatchObject({ zone: 'zone-c', hints: { forZones: [{ name: 'zone-c' }] } });
		edit('web', ({ metadata }) => {
			metadata.annotations = { 'service.kubernetes.io/topology-mode': 'Auto' };
		});
		await cluster.converge();
		expect(all()[0].hints).toBeUndefined();
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
		expect(slices('svc-77')[0]!.endpoints[0].conditions.ready).toBe(false);
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
		expect(endpoints()!.subsets[0].addresses).toHaveLength(2);
	});

	it('250 pods fill slices of 100, 100 and 50; one pod less changes one slice (B-80)', async () => {
		await serve(250);
		const sizes = () =>
			slices()
				.map((slice) => slice.endpoints.length)
				.sort((a, b) => b - a);
		expect(sizes()).toEqual([100, 100, 50]);
		const before = new Map(slices().map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
		cluster.setReady(pods()[7]!, false);
		await cluster.converge();
		const changed = slices().filter(({ metadata }) => before.get(metadata.name) !== metadata.resourceVersion);
		expect(changed).toHaveLength(1);
	});
});

describe('Endpoints mirroring', () => {
	const manual = (subsets: unknown[], name = 'legacy'): KubeObject => ({
		metadata: { name, namespace: 'default', labels: { from: 'me' } },
		subsets,
	});
	const selectorless = () => service('legacy', { selector: undefined });

	it('makes slices of hand-written Endpoints, one a family and port set', async () => {
		cluster.api.create('services', selectorless());
		cluster.api.create(
			'endpoints',
			manual([
				{
					addresses: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }],
					notReadyAddresses: [{ ip: '10.0.0.2' }],
					ports: [{ port: 80 }],
				},
				{ addresses: [{ ip: '10.0.0.3' }], ports: [{ name: 'metrics', port: 9090, protocol: 'UDP' }] },
			]),
		);
		await cluster.settle();
		const found = slices('legacy');
		expect(found.map(({ metadata }) => metadata.labels)).toEqual(
			Array(3).fill({
				from: 'me',
				[MANAGED_BY]: 'endpointslicemirroring-controller.k8s.io',
				[SERVICE_NAME]: 'legacy',
			}),
		);
		const text = found.map((slice) => {
			const entries = slice.endpoints.map((e: KubeObject) => `${e['addresses'][0]}=${e['conditions'].ready}`);
			return `${slice.addressType} ${slice.ports[0].protocol}/${slice.ports[0].port} ${entries}`;
		});
		expect(text.sort()).toEqual([
			'IPv4 TCP/80 10.0.0.1=true,10.0.0.2=false',
			'IPv4 UDP/9090 10.0.0.3=true',
			'IPv6 TCP/80 fd00::1=true',
		]);
	});

	it('follows changes with few writes and stops with the Service, a selector or the skip label', async () => {
		cluster.api.create('services', selectorless());
		cluster.api.create('endpoints', manual([{ addresses: [{ ip: '10.0.0.1' }], ports: [{ port: 80 }] }]));
		await cluster.settle();
		const [first] = slices('legacy');
		const stored = cluster.api.get('endpoints', 'default', 'legacy')!;
		cluster.api.update('endpoints', {
			...stored,
			subsets: [{ addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.9' }], ports: [{ port: 80 }] }],
		});
		await cluster.settle();
		expect(slices('legacy')).toMatchObject([{ metadata: { name: first!.metadata.name } }]);
		expect(slices('legacy')[0]!.endpoints).toHaveLength(2);

		const labelled = cluster.api.get('endpoints', 'default', 'legacy')!;
		const labels = { 'endpointslice.kubernetes.io/skip-mirror': 'true' };
		cluster.api.update('endpoints', { ...labelled, metadata: { ...labelled.metadata, labels } });
		await cluster.settle();
		expect(slices('legacy')).toEqual([]);
		expect(endpoints('legacy')).toBeDefined();
	});

	it('leaves slices that somebody wrote for a selector-less Service alone (A-104)', async () => {
		cluster.api.create('services', selectorless());
		cluster.api.create('endpointslices', {
			metadata: {
				name: 'mine',
				namespace: 'default',
				labels: { [SERVICE_NAME]: 'legacy', [MANAGED_BY]: 'me' },
			},
			addressType: 'IPv4',
			endpoints: [{ addresses: ['10.0.0.1'] }],
			ports: [{ name: '', port: 80, protocol: 'TCP' }],
		});
		await cluster.settle();
		expect(slices('legacy').map(({ metadata }) => metadata.name)).toEqual(['mine']);
	});
});

describe('default/kubernetes', () => {
	it('has equal Endpoints and EndpointSlice when the API address is given (A-100)', async () => {
		cluster.stop();
		cluster = createTestCluster({
			apiAddress: { addresses: ['192.168.10.100', 'fd00:10::100'], port: 6443 },
		});
		await cluster.settle();
		expect(endpoints('kubernetes')!.subsets).toEqual([
			{ addresses: [{ ip: '192.168.10.100' }], ports: [{ name: 'https', port: 6443, protocol: 'TCP' }] },
		]);
		const [v4] = slices('kubernetes').filter(({ addressType }) => addressType === 'IPv4');
		expect(v4).toMatchObject({
			metadata: { name: 'kubernetes' },
			endpoints: [{ addresses: ['192.168.10.100'], conditions: { ready: true } }],
			ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
		});
		cluster.api.delete('endpoints', 'default', 'kubernetes');
		await cluster.settle();
		expect(endpoints('kubernetes')).toBeDefined();
	});
});
