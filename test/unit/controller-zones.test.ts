import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withHints } from '../../standalone/controllers/endpoint-hints.ts';
import { zoneShares } from '../../standalone/controllers/zone-shares.ts';
import { spreadZones } from '../../standalone/controllers/zone-spread.ts';
import type { Node } from '../../standalone/port.ts';
import { createTestCluster, type TestCluster } from './controller-cluster.ts';
import { viewsOf } from './controller-views.ts';

const HALVES = new Map([
	['a', 0.5],
	['b', 0.5],
]);
const THIRDS = new Map(['a', 'b', 'c'].map((zone) => [zone, 1 / 3]));

describe('spreadZones()', () => {
	it.each([
		['balanced ones keep their zones', 'aabb', HALVES, 'aabb'],
		['the zone that has too many gives', 'aaab', HALVES, 'baab'],
		['half a one more is no reason', 'aaaabbb', HALVES, 'aaaabbb'],
		['a zone without any gets some', 'aaaaaa', THIRDS, 'bbccaa'],
		['those of an unknown zone stay', 'aaabbbx', HALVES, 'aaabbbx'],
	])('%s: %s', (_what, zones, shares, wanted) => {
		expect(spreadZones([...zones], shares)?.join('')).toBe(wanted);
	});

	it('gives up when there are fewer endpoints than zones, or one would get a fifth too much', () => {
		expect(spreadZones(['a', 'b'], THIRDS)).toBeUndefined();
		const uneven = new Map([
			['a', 0.8],
			['b', 0.1],
			['c', 0.1],
		]);
		expect(spreadZones(['a', 'b', 'c'], uneven)).toBeUndefined();
	});
});

it('withHints() gives none for a trafficDistribution that nobody knows (B R-12)', () => {
	const endpoint = { addresses: ['10.0.0.1'], conditions: { ready: true }, zone: 'a', nodeName: 'n' };
	const web = { metadata: { name: 'web' }, spec: { trafficDistribution: 'NearestMoon' } };
	expect(withHints(web, [endpoint], HALVES)).toEqual([endpoint]);
});

const NODE = (zone: string | undefined, cpu: string | undefined, more: Partial<Node> = {}): Node => ({
	spec: {},
	...more,
	metadata: { name: 'n', labels: zone ? { 'topology.kubernetes.io/zone': zone } : {}, ...more.metadata },
	status: { conditions: [{ type: 'Ready', status: 'True' }], allocatable: { cpu: cpu! }, ...more.status },
});

describe('zoneShares()', () => {
	it('adds up the CPUs of each zone', () => {
		expect(zoneShares([NODE('b', '1500m'), NODE('a', '4'), NODE('b', '0.5'), NODE('b', '2')])).toEqual(
			HALVES,
		);
	});

	it('leaves out nodes that are not ready, and those of the control plane', () => {
		const status = { conditions: [{ type: 'Ready', status: 'False' }] };
		const labels = { 'node-role.kubernetes.io/control-plane': '', 'topology.kubernetes.io/zone': 'b' };
		const others = [NODE(undefined, '8', { status }), NODE('b', '8', { metadata: { name: 'm', labels } })];
		expect(zoneShares([NODE('a', '2'), NODE('b', '2'), ...others])).toEqual(HALVES);
	});

	it.each([
		['a node has no zone', [NODE('a', '2'), NODE('b', '2'), NODE(undefined, '2')]],
		['a node’s CPUs are not known', [NODE('a', '2'), NODE('b', undefined)]],
		['there is one zone', [NODE('a', '2'), NODE('a', '2')]],
	])('is not known when %s', (_what, nodes) => expect(zoneShares(nodes)).toBeUndefined());
});

describe('EndpointSlices of a Service with topology-mode Auto', () => {
	let cluster: TestCluster;
	const { all, edit, serve } = viewsOf(() => cluster);
	const zonesHinted = () =>
		all()
			.map(({ hints }) => hints?.forZones?.map(({ name }) => name).join())
			.sort();
	const annotate = (annotations: Record<string, string>) =>
		edit('web', ({ metadata }) => {
			metadata.annotations = annotations;
		});
	function setCpu(name: string, cpu: string): void {
		const stored = cluster.api.get('nodes', undefined, name)!;
		cluster.api.update('nodes', { ...stored, status: { ...stored.status, allocatable: { cpu } } }, 'status');
	}

	beforeEach(async () => {
		cluster = createTestCluster();
		for (const [name, zone] of [
			['node1', 'zone-a'],
			['node2', 'zone-b'],
		] as const) {
			cluster.addNode(name, zone);
			setCpu(name, '2');
		}
		await serve(6, { trafficDistribution: 'PreferSameNode' });
		annotate({ 'service.kubernetes.io/topology-mode': 'Auto' });
		await cluster.converge();
	});

	afterEach(() => cluster.stop());

	it('hints spread in proportion to the CPUs, whatever trafficDistribution says (B R-12)', async () => {
		expect(zonesHinted()).toEqual([...Array(3).fill('zone-a'), ...Array(3).fill('zone-b')]);
		expect(all().some(({ hints }) => hints!.forNodes)).toBe(false);
		setCpu('node1', '6');
		await cluster.converge();
		expect(zonesHinted()).toEqual([...Array(4).fill('zone-a'), ...Array(2).fill('zone-b')]);
	});

	it('there are none while the shares or an endpoint’s zone are not known', async () => {
		cluster.addNode('node3', 'zone-c');
		await cluster.converge();
		expect(zonesHinted()).toEqual(Array(6).fill(undefined));
		setCpu('node3', '2');
		await cluster.converge();
		expect(new Set(zonesHinted())).toEqual(new Set(['zone-a', 'zone-b', 'zone-c']));
	});

	it.each([
		['service.kubernetes.io/topology-mode', 'Disabled'],
		['service.kubernetes.io/topology-mode', 'AUTO'],
		['service.kubernetes.io/topology-aware-hints', 'disabled'],
	])('%s %s leaves it to trafficDistribution', async (annotation, value) => {
		annotate({ [annotation]: value });
		await cluster.converge();
		expect(all().every(({ hints, nodeName }) => hints!.forNodes![0]!.name === nodeName)).toBe(true);
	});
});
