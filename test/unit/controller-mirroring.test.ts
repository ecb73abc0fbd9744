import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Endpoints } from '../../standalone/port.ts';
import { createTestCluster, service, type TestCluster } from './controller-cluster.ts';
import { MANAGED_BY, SERVICE_NAME, viewsOf } from './controller-views.ts';

let cluster: TestCluster;
const { slices, endpoints } = viewsOf(() => cluster);

beforeEach(() => {
	cluster = createTestCluster();
	cluster.addNode('node1', 'zone-a');
	cluster.addNode('node2', 'zone-b');
});

afterEach(() => cluster.stop());

describe('Endpoints mirroring', () => {
	const manual = (subsets: NonNullable<Endpoints['subsets']>, name = 'legacy'): Endpoints => ({
		metadata: { name, namespace: 'default', labels: { from: 'me' } },
		subsets,
	});
	const selectorless = () => {
		const object = service('legacy');
		delete object.spec.selector;
		return object;
	};

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
			const entries = slice.endpoints!.map((e) => `${e.addresses[0]}=${e.conditions!.ready}`);
			return `${slice.addressType} ${slice.ports![0]!.protocol}/${slice.ports![0]!.port} ${entries}`;
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
