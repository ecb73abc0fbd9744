import { describe, expect, it } from 'vitest';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { parseNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { translate } from '../../agent/model/translate.ts';
import { type EndpointOptions, node, service, slice } from './reconcile-objects.ts';

const NODE_IP = '192.168.0.2';
const CONDITIONS = {
	ready: { ready: true, serving: true, terminating: false },
	unready: { ready: false, serving: false, terminating: false },
	terminating: { ready: false, serving: true, terminating: true },
	ended: { ready: false, serving: false, terminating: true },
};

interface EndpointCase {
	readonly zones?: readonly string[];
	readonly nodes?: readonly string[];
	readonly state?: keyof typeof CONDITIONS;
	readonly local?: boolean;
}

/** 10.1.2.3, 10.1.2.4 and so on, numbered like upstream's tests. */
function endpoints(list: readonly EndpointCase[]): EndpointOptions[] {
	const named = (names: readonly string[] = []) => names.map((name) => ({ name }));
	return list.map(({ zones, nodes, state = 'ready', local }, i) => ({
		ip: `10.1.2.${i + 3}`,
		node: local ? 'node1' : 'node2',
		conditions: CONDITIONS[state],
		hints: { forZones: named(zones), forNodes: named(nodes) },
	}));
}

interface Question {
	/** Zone of this node, empty if it has none. */
	readonly zone?: string;
	readonly spec?: object;
	/** The client: a pod at the ClusterIP, or an outside client at the NodePort. */
	readonly from?: 'pod' | 'outside';
}

/** Last bytes of the eligible addresses. */
function chosen(list: readonly EndpointCase[], { zone = 'zone-a', spec = {}, from = 'pod' }: Question = {}) {
	const ports = [{ port: 80, protocol: 'TCP', nodePort: 3001 }];
	const { frontends } = translate(
		parseService(service('ns/svc', { ports, spec: { type: 'NodePort', ...spec } }), 'ns/svc').value,
		[parseEndpointSlice(slice('svc', endpoints(list), [{ port: 80, protocol: 'TCP' }]), 'ns/svc-x').value],
		parseNode(node([NODE_IP], zone), 'node1').value,
	);
	const [claim, scope] = from === 'pod' ? ['10.96.0.1:80', 'internal'] : [`${NODE_IP}:3001`, 'external'];
	const found = frontends.find((f) => f.claim === `${claim}/tcp` && f.scope === scope)!;
	return found.backends.map((b) => Number(b.ip.text.split('.')[3]));
}

const zones = (...names: string[]): EndpointCase => ({ zones: names });
const ABBA = [zones('zone-a'), zones('zone-b'), zones('zone-b'), zones('zone-a')];

describe('topology hints', () => {
	it('an endpoint of the zone is chosen when all have hints (B-40, B R-5)', () => {
		expect(chosen(ABBA)).toEqual([3, 6]);
	});

	it.each(['zone-c', ''])(
		'all are chosen by a node of zone %j, which no hint names (B-40, B R-5)',
		(zone) => {
			expect(chosen(ABBA, { zone })).toEqual([3, 4, 5, 6]);
		},
	);

	it('all are chosen when one ready endpoint has no hint, whatever those not ready have (B R-5)', () => {
		expect(chosen([...ABBA, {}])).toEqual([3, 4, 5, 6, 7]);
		expect(chosen([...ABBA, { state: 'unready' }])).toEqual([3, 6]);
	});

	it('hints for nodes come before hints for zones, when every ready endpoint has them (B R-5)', () => {
		const here = { zones: ['zone-a'], nodes: ['node1'] };
		const there = { zones: ['zone-a'], nodes: ['node2'] };
		expect(chosen([there, here, there])).toEqual([4]);
		expect(chosen([there, there, zones('zone-b')])).toEqual([3, 4]);
		expect(chosen([there, { ...there, zones: ['zone-b'] }])).toEqual([3]);
	});

	it.each(['PreferClose', 'PreferSameNode', 'nonsense', undefined])(
		'hints are used with trafficDistribution %s (B-41)',
		(trafficDistribution) => expect(chosen(ABBA, { spec: { trafficDistribution } })).toEqual([3, 6]),
	);

	it('the other zones serve when the zone’s only endpoint is not ready (B-43)', () => {
		const list: EndpointCase[] = [{ ...zones('zone-a'), state: 'unready' }, zones('zone-b'), zones('zone-c')];
		expect(chosen(list)).toEqual([4, 5]);
	});

	it.each(['zone-a', 'zone-b', 'zone-c'])('an endpoint for three zones serves nodes of %s (B-43)', (zone) => {
		expect(chosen([zones('zone-a', 'zone-b', 'zone-c'), zones('zone-d')], { zone })).toEqual([3]);
	});

	it('hints filter what all may use, not what policy Local allows (B-45)', () => {
		const list = [
			{ ...zones('zone-a'), local: true },
			{ ...zones('zone-b'), local: true },
			zones('zone-b'),
			zones('zone-a'),
		];
		const spec = { externalTrafficPolicy: 'Local' };
		expect(chosen(list, { spec })).toEqual([3, 6]);
		expect(chosen(list, { spec, from: 'outside' })).toEqual([3, 4]);
		expect(chosen(list, { spec: { internalTrafficPolicy: 'Local' } })).toEqual([3, 4]);
	});
});

describe('conditions of endpoints', () => {
	it('endpoints that are not ready are not used (B-49)', () => {
		expect(chosen([{ state: 'unready' }, { state: 'unready' }])).toEqual([]);
	});

	it('endpoints that all terminate and serve are used (B-49, B-89)', () => {
		expect(chosen([{ state: 'terminating' }, { state: 'terminating' }])).toEqual([3, 4]);
	});

	it('internalTrafficPolicy Local without a local endpoint has none (B-49)', () => {
		expect(chosen([{}, {}], { spec: { internalTrafficPolicy: 'Local' } })).toEqual([]);
	});

	it('what neither is ready nor serves is left out, also while it terminates (B-89)', () => {
		expect(chosen([{}, { state: 'unready' }, { state: 'ended' }, { state: 'terminating' }])).toEqual([3]);
		expect(chosen([{ state: 'ended' }, { state: 'terminating' }])).toEqual([4]);
	});

	it('all are used when hints name no zone of ours (B-89)', () => {
		expect(chosen([zones('zone-x'), zones('zone-y')])).toEqual([3, 4]);
	});
});
