import { describe, expect, it } from 'vitest';
import { fakeServiceMaps } from '../../agent/bpf/fake.ts';
import { healthChecks } from '../../agent/loop/health-checks.ts';
import { Reconciler } from '../../agent/loop/reconcile.ts';
import { Store } from '../../agent/loop/store.ts';
import { parseEndpointSlice } from '../../agent/model/endpoints.ts';
import { parseNode } from '../../agent/model/node.ts';
import { parseService } from '../../agent/model/service.ts';
import { translate } from '../../agent/model/translate.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { TestClock } from './reconcile-rig.ts';

const HEADLESS = 'service.kubernetes.io/headless';
const PROXY = 'service.kubernetes.io/service-proxy-name';
const LABELS = [
	[HEADLESS, ''],
	[HEADLESS, 'false'],
	[PROXY, 'other'],
	[PROXY, ''],
] as const;
const IP = '10.1.0.1';

/**
 * An agent whose watches have no selector, as with --dns. Label changes therefore arrive as object
 * changes.
 */
class Agent {
	readonly reconciler: Reconciler;
	readonly #sinks: ReturnType<Reconciler['sinks']>;
	readonly #kind: 'endpointslices' | 'endpoints';
	/** The latest addresses that DNS received. */
	named: readonly string[] = [];

	constructor(kind: 'endpointslices' | 'endpoints') {
		this.#kind = kind;
		const silent = () => {};
		this.reconciler = new Reconciler({
			maps: fakeServiceMaps({ backends: 64 }),
			nodeName: 'node1',
			log: { debug: silent, info: silent, warn: silent, error: silent },
			clock: new TestClock(),
			random: () => 0.5,
			changed: (_, sources) => {
				const groups = sources('ns/web').flatMap((source) => source.groups);
				this.named = groups.flatMap((group) => group.endpoints.map(({ ip }) => ip.text));
			},
		});
		this.#sinks = this.reconciler.sinks(kind);
		this.#sinks.node.upsert('node1', node());
		this.set({}, {});
		this.#sinks.services.listed();
		this.#sinks.endpoints.listed();
	}

	/**
	 * @param own labels of the Service
	 * @param of labels of its endpoints
	 */
	set(own: object, of: object, spec: object = {}): this {
		const status = { loadBalancer: { ingress: [{ ip: '203.0.113.1' }] } };
		const local = {
			...{ type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 },
			...spec,
		};
		this.#sinks.services.upsert('ns/web', service('ns/web', { meta: { labels: own }, spec: local, status }));
		const labels = { 'kubernetes.io/service-name': 'web', ...of };
		const subset = { addresses: [{ ip: IP, nodeName: 'node1' }], ports: [{ port: 8080 }] };
		const endpoints =
			this.#kind === 'endpoints'
				? { metadata: { labels }, subsets: [subset] }
				: { ...slice('web', [{ ip: IP, node: 'node1' }]), metadata: { labels } };
		this.#sinks.endpoints.upsert('ns/web', endpoints);
		return this;
	}

	/** Counts of frontends and backends, and the number of local endpoints in the health check. */
	state(): [frontends: number, backends: number, healthy: number | undefined] {
		expect(this.reconciler.sync()).toBeDefined();
		const { frontends, backends } = this.reconciler.snapshot().counts;
		return [frontends, backends, this.reconciler.healthChecks()[0]?.localEndpoints];
	}
}

describe.each(['endpointslices', 'endpoints'] as const)(
	'labels that leave an object to others (%s)',
	(kind) => {
		it.each(LABELS)(
			'%s=%j on endpoints takes them away, and gives them back when it goes (R-A4)',
			(label, value) => {
				const agent = new Agent(kind);
				const served = agent.state();
				expect(served).toEqual([4, 1, 1]);
				expect(agent.set({}, { [label]: value }).state()).toEqual([4, 0, 0]);
				// DNS serves the name, whichever proxy serves the Service
				expect(agent.named).toEqual([IP]);
				expect(agent.set({}, {}).state()).toEqual(served);
			},
		);

		it.each(LABELS)(
			'%s=%j on a Service takes it away, and gives it back when it goes (R-A4)',
			(label, value) => {
				const agent = new Agent(kind);
				const served = agent.state();
				expect(agent.set({ [label]: value }, {}).state()).toEqual([0, 0, undefined]);
				expect(agent.set({}, {}).state()).toEqual(served);
			},
		);

		it.each([
			['ExternalName', { type: 'ExternalName', externalName: 'a.b', clusterIPs: undefined }],
			['headless', { type: 'ClusterIP', clusterIPs: ['None'], clusterIP: 'None' }],
		])('a Service that becomes %s is served no more, and is again when it was made anew', (_, spec) => {
			const agent = new Agent(kind);
			const served = agent.state();
			expect(agent.set({}, {}, spec).state()).toEqual([0, 0, undefined]);
			expect(agent.set({}, {}).state()).toEqual(served);
		});
	},
);

describe('an endpoint that is in two slices', () => {
	const NODE = parseNode(node(), 'node1').value;
	const web = (spec: object) => parseService(service('ns/web', { spec }), 'ns/web').value;
	const ENDING = { ready: false, serving: true, terminating: true };
	const used = (endpoints: readonly object[], spec = {}) => {
		const slices = endpoints.map((endpoint, i) => {
			const raw = slice('web', [{ ip: IP, ...endpoint }]);
			return parseEndpointSlice(raw, `ns/web-${i}`).value;
		});
		const ways = [slices, slices.toReversed()].map((order) => {
			const [frontend] = translate(web(spec), order, NODE).frontends;
			return frontend!.backends.map(({ key, local }) => `${key}${local ? ' local' : ''}`);
		});
		expect(ways[0]).toEqual(ways[1]);
		return ways[0];
	};

	it('is the one that does not end: a pod that ends may have left its address to it', () => {
		const ending = { node: 'node1', conditions: ENDING };
		expect(used([ending, { node: 'node2' }])).toEqual([`${IP}:8080/tcp`]);
		expect(used([ending, { node: 'node2' }], { internalTrafficPolicy: 'Local' })).toEqual([]);
		expect(used([ending, { node: 'node2', conditions: { ready: false, serving: false } }])).toEqual([]);
		expect(used([ending, { node: '' }])).toEqual([`${IP}:8080/tcp`]);
	});

	it('that end both serves while either does', () => {
		const silent = { node: 'node1', conditions: { ...ENDING, serving: false } };
		expect(used([silent, { node: 'node1', conditions: ENDING }])).toEqual([`${IP}:8080/tcp local`]);
		expect(used([silent, silent])).toEqual([]);
	});

	it('is served while it ends where nothing is said of serving, as kube-proxy does', () => {
		expect(used([{ conditions: { ready: false, terminating: true } }])).toEqual([`${IP}:8080/tcp`]);
		expect(used([{ conditions: { ready: false } }])).toEqual([]);
	});
});

describe('an endpoint without a nodeName', () => {
	it.each([undefined, null, ''])(
		'(%j) is usable anywhere, and no node’s by a policy Local, as with kube-proxy',
		(nodeName) => {
			const raw = {
				...slice('web', [IP]),
				endpoints: [{ addresses: [IP], nodeName, hints: { forZones: [{ name: 'a' }] } }],
			};
			const store = new Store({ nodeName: 'node1', serviceCidrLimit: 8 });
			const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 32_000 };
			const ports = [{ port: 80, nodePort: 30_080 }];
			store.setService('ns/web', service('ns/web', { ports, spec }));
			store.setEndpoints('ns/web-x', raw);
			store.setNode(node(undefined, 'a'));
			store.take();
			const { frontends } = translate(store.services.get('ns/web')!, store.sources('ns/web'), store.node);
			const found = (kind: string, scope: string) =>
				frontends.find((f) => f.kind === kind && f.scope === scope)!;
			expect(found('clusterip', 'external').backends.map(({ key, local }) => [key, local])).toEqual([
				[`${IP}:8080/tcp`, false],
			]);
			expect(found('nodeport', 'internal').backends).toHaveLength(1);
			expect(found('nodeport', 'external')).toMatchObject({ backends: [], drop: true });
			expect(healthChecks(store)).toEqual([{ service: 'ns/web', port: 32_000, localEndpoints: 0 }]);
		},
	);
});

describe('slices with odd content', () => {
	const raw = (more: object) => ({ ...slice('web', [IP]), ...more });
	const parsed = (more: object) => parseEndpointSlice(raw(more), 'ns/web-x');

	it.each([
		[
			'a port without a number stands for all: none is served',
			{ ports: [{ name: '', protocol: 'TCP' }] },
			[],
		],
		['a port whose number is null', { ports: [{ name: '', port: null }] }, []],
		['a port without a name has the empty one', { ports: [{ port: 80 }] }, [['', 80, 'tcp']]],
		['a port without a protocol is TCP', { ports: [{ name: 'a', port: 80 }] }, [['a', 80, 'tcp']]],
		['ports that are null', { ports: null }, []],
	])('%s', (_, more, expected) => {
		const { value, problems } = parsed(more);
		expect(value.groups[0]!.ports.map(({ name, port, protocol }) => [name, port, protocol])).toEqual(
			expected,
		);
		expect(problems).toEqual([]);
	});

	it.each([
		['an address of the other family', { endpoints: [{ addresses: ['fd00::1'] }] }, 1],
		[
			'an IPv4 address in IPv6 notation',
			{ addressType: 'IPv6', endpoints: [{ addresses: ['::ffff:10.0.0.1'] }] },
			1,
		],
		['a name for an address', { endpoints: [{ addresses: ['a.example'] }] }, 1],
		['an endpoint without an address', { endpoints: [{ addresses: [] }] }, 1],
		[
			'names (FQDN), which nobody balances over',
			{ addressType: 'FQDN', endpoints: [{ addresses: ['a.b'] }] },
			0,
		],
		['an unknown addressType', { addressType: 'IPX' }, 1],
		['endpoints that are null', { endpoints: null }, 0],
	])('%s: nothing of it is served, and the rest is', (_, more, problems) => {
		const found = parsed(more);
		expect(found.value.groups.flatMap((group) => group.endpoints)).toEqual([]);
		expect(found.problems).toHaveLength(problems);
	});

	it('the first address of an endpoint counts, the others have no meaning', () => {
		const { value } = parsed({ endpoints: [{ addresses: ['10.0.0.1', '10.0.0.2'] }] });
		expect(value.groups[0]!.endpoints.map(({ ip }) => ip.text)).toEqual(['10.0.0.1']);
	});
});
