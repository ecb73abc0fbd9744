/** One check of every topology, and the site on which it runs. */
import type { Dial, Reply } from '../../netns/dataplane/commands.ts';
import { Peer } from '../../netns/dataplane/remote.ts';
import { nodeOf, PODS } from '../../netns/dataplane/topology.ts';
import type { Agents } from './agents.ts';
import { FAR, type Lab } from './lab.ts';
import { balancer, clusterIp, nodePort, SERVICE_PORT, type ServiceName, TARGET_PORT } from './objects.ts';
import type { Family, Mode, Spec } from './spec.ts';

export interface Cell {
	readonly mode: Mode;
	readonly family: Family;
}

export interface Check {
	/** Short name for the results. */
	readonly id: string;
	/** The property that holds when the check passes. */
	readonly title: string;
	/** All families if absent. */
	readonly families?: readonly Family[];
	/** Whether the check applies to a topology. It applies to all if absent. */
	applies?(spec: Spec): boolean;
	run(site: Site, cell: Cell): Promise<void>;
}

/** TCP, UDP from an unconnected socket, UDP from a connected one. */
export const WAYS = ['tcp', 'udp', 'udp connected'] as const;
export type Way = (typeof WAYS)[number];

/** Places of sockets: the namespace, and whether the socket hooks of the agent see it. */
const VANTAGES = {
	client: ['client', false],
	far: ['far', false],
	host: ['node1', true],
	pod1a: ['pod1a', true],
	pod1b: ['pod1b', true],
	pod2a: ['pod2a', true],
	/** The same pods, with sockets that no hook sees, like those of another kernel. */
	bypass1a: ['pod1a', false],
	bypass1b: ['pod1b', false],
} as const satisfies Record<string, readonly [namespace: string, hooked: boolean]>;
export type Vantage = keyof typeof VANTAGES;

/** Factor for all time limits on an emulated processor (scripts/vm). */
export const SLOWNESS = Number(process.env['MAGLANE_TEST_PATIENCE'] ?? 1);
/** Timeout for answers in milliseconds, long enough for the first retransmission of a SYN. */
export const PATIENCE = 1500 * SLOWNESS;

/**
 * Ports of the outside servers. Each mode has its own, so that no connection collides with one in
 * TIME_WAIT.
 */
export const OUTSIDE_PORT = { XDP: 9000, TC: 9001 } as const satisfies Record<Mode, number>;

/** A built topology with its agents and a process at each vantage. */
export class Site {
	readonly lab: Lab;
	readonly spec: Spec;
	readonly agents: Agents;
	readonly #peers = new Map<Vantage, Peer>();

	constructor(spec: Spec, lab: Lab, agents: Agents) {
		this.spec = spec;
		this.lab = lab;
		this.agents = agents;
	}

	/** The peer process of the vantage, started at first use. */
	peer(vantage: Vantage): Peer {
		const known = this.#peers.get(vantage);
		if (known) return known;
		const [namespace, hooked] = VANTAGES[vantage];
		const node = PODS.find(({ name }) => name === namespace)?.node ?? namespace;
		const peer = new Peer(this.lab.net.path(namespace), hooked ? this.agents.cgroup(node) : undefined);
		this.#peers.set(vantage, peer);
		return peer;
	}

	ask(vantage: Vantage, way: Way, to: Dial): Promise<Reply> {
		const dial = { timeout: PATIENCE, ...to };
		return way === 'tcp'
			? this.peer(vantage).call('tcp', dial)
			: this.peer(vantage).call('udp', { ...dial, connected: way === 'udp connected' });
	}

	/** Starts servers in the pods and outside. */
	async serve(): Promise<void> {
		const servers = [
			...PODS.filter(({ name }) => name !== 'pod1b').map(({ name, v4, v6 }) => ({
				at: name as Vantage,
				addresses: [v4, v6],
				ports: [TARGET_PORT],
			})),
			{ at: 'far' as const, addresses: [FAR.v4, FAR.v6], ports: Object.values(OUTSIDE_PORT) },
		];
		for (const { at, addresses, ports } of servers)
			for (const address of addresses)
				for (const port of ports) {
					await this.peer(at).call('serveTcp', { name: at, address, port });
					await this.peer(at).call('serveUdp', { name: at, address, port });
				}
	}

	async close(): Promise<void> {
		await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
	}
}

export const toNodePort = (service: ServiceName, family: Family, node = 'node1'): Dial => ({
	address: nodeOf(node)[family],
	port: nodePort(service),
});
export const toClusterIp = (service: ServiceName, family: Family): Dial => ({
	address: clusterIp(service, family),
	port: SERVICE_PORT,
});
export const toBalancer = (service: ServiceName, family: Family): Dial => ({
	address: balancer(service, family),
	port: SERVICE_PORT,
});
export const inUrl = (address: string): string => (address.includes(':') ? `[${address}]` : address);
