import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { node as nodeObject, service, slice } from '../unit/reconcile-objects.ts';
import { Rig } from '../unit/reconcile-rig.ts';
import { Cluster, TARGET_PORT } from './dataplane/cluster.ts';
import { nodeOf, podOf } from './dataplane/topology.ts';

const MODES = ['XDP', 'TC'] as const;
const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const node1 = nodeOf('node1');
const BOTH = ['pod1a', 'pod2a'] as const;
type Pod = (typeof BOTH)[number];
/** Services with the same pods at the same port. */
const PLACES = {
	loser: { nodePort: 30901, v4: '10.96.1.1', v6: 'fd00:10:96::101' },
	keeper: { nodePort: 30902, v4: '10.96.1.2', v6: 'fd00:10:96::102' },
} as const;
type Name = keyof typeof PLACES;
/** Vantages of clients, their frontend and the modes. TC also serves the TCP of pod `bypass1b`. */
const CLIENTS = [
	{ from: 'client', at: 'nodePort', modes: MODES },
	{ from: 'bypass1b', at: 'clusterIp', modes: ['TC'] },
	{ from: 'bypass1b', at: 'nodePort', modes: ['TC'] },
	{ from: 'pod1b', at: 'clusterIp', modes: ['TC'] },
	{ from: 'host', at: 'clusterIp', modes: ['TC'] },
	{ from: 'host', at: 'nodePort', modes: ['TC'] },
] as const;
const CASES = CLIENTS.flatMap(({ from, at, modes }) =>
	modes.flatMap((mode) => FAMILIES.map((family) => ({ from, at, mode, family }))),
);

/** Runs the control loop of node1 on the maps of its programs. */
class Loop {
	readonly #rig: Rig;

	constructor(cluster: Cluster) {
		this.#rig = new Rig({ maps: cluster.nodes[0].maps as never });
		for (const [name, place] of Object.entries(PLACES)) {
			const ports = ['TCP', 'UDP'].map((protocol) => {
				return { name: protocol, port: 80, protocol, nodePort: place.nodePort };
			});
			const ips = [place.v4, place.v6];
			this.#rig.add({ [`ns/${name}`]: service(`ns/${name}`, { ips, ports, spec: { type: 'NodePort' } }) });
			this.set(name as Name, BOTH);
		}
		this.#rig.listed(nodeObject([node1.v4, node1.v6])).sync();
	}

	set(name: Name, pods: readonly Pod[]): void {
		const targets = ['TCP', 'UDP'].map((protocol) => ({ name: protocol, port: TARGET_PORT, protocol }));
		for (const family of FAMILIES) {
			const endpoints = pods.map((pod) => ({ ip: podOf(pod)[family], node: podOf(pod).node }));
			this.#rig.add({}, { [`ns/${name}-${family}`]: slice(name, endpoints, targets) });
		}
	}

	sync(): void {
		this.#rig.sync();
	}
}

describe('an endpoint that one of two Services loses', () => {
	let cluster: Cluster;
	let loop: Loop;
	beforeAll(async () => {
		cluster = await Cluster.start('mlle');
		loop = new Loop(cluster);
	});
	afterAll(() => cluster?.close());

	const placeOf = (name: Name, at: 'nodePort' | 'clusterIp', family: FamilyName) =>
		at === 'nodePort'
			? { address: node1[family], port: PLACES[name].nodePort }
			: { address: PLACES[name][family], port: 80 };

	it.each(CASES)(
		'is left by UDP of that Service, by no flow of the other, by no TCP ($from to $at, $mode, IP$family; R-A7, R-10)',
		async ({ from, at, mode, family }) => {
			for (const node of cluster.nodes) node.xdp(mode === 'XDP');
			const peer = cluster.peer(from);
			const [loser, keeper] = [placeOf('loser', at, family), placeOf('keeper', at, family)];
			const open = async (to: typeof loser) => {
				const [udp, tcp] = [await peer.call('udpOpen', to), await peer.call('tcpOpen', to)];
				return { to, udp, tcp };
			};
			const flows = [];
			for (let i = 0; i < 8; i++) flows.push(await open(loser), await open(keeper));
			const before = flows.map(({ udp }) => udp.reply.name);
			expect(new Set(before)).toEqual(new Set(BOTH));
			loop.set('loser', ['pod2a']);
			loop.sync();
			try {
				for (const [i, { to, udp, tcp }] of flows.entries()) {
					const answer = await peer.call('udpAgain', { ...to, handle: udp.handle });
					expect(answer.name).toBe(to === loser ? 'pod2a' : before[i]);
					expect((await peer.call('tcpAgain', { handle: tcp.handle })).name).toBe(tcp.reply.name);
				}
			} finally {
				for (const { tcp } of flows) await peer.call('tcpClose', { handle: tcp.handle });
				loop.set('loser', BOTH);
				loop.sync();
			}
		},
	);
});
