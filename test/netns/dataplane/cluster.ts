/** The topology with programs on both nodes, servers in the pods, and a process at each vantage. */
import { FrontendFlag, FrontendScope, ServiceAddressFlag } from '../../../agent/abi/layout.ts';
import type { Proto } from '../../packet/services.ts';
import type { FamilyName } from '../../packet/shape.ts';
import { Node } from './node.ts';
import { Peer } from './remote.ts';
import { NODES, PODS, podOf, Topology } from './topology.ts';

export const TARGET_PORT = 8080;
export const SERVICE_PORT = 80;

/** Services, named after the place of their backends relative to node1. */
export const SERVICES = {
	local: { number: 1, pods: ['pod1a'] },
	remote: { number: 2, pods: ['pod2a'] },
	none: { number: 3, pods: [] },
	both: { number: 4, pods: ['pod1a', 'pod2a'] },
	/** A backend without a listening process on the port. */
	closed: { number: 5, pods: ['pod2a'] },
} as const;
export type ServiceName = keyof typeof SERVICES;

export const clusterIp = (service: ServiceName, family: FamilyName): string => {
	const { number } = SERVICES[service];
	return family === 'v4' ? `10.96.0.${10 + number}` : `fd00:10:96::${10 + number}`;
};
export const nodePort = (service: ServiceName): number => 30080 + SERVICES[service].number;

/** Places of sockets: the namespace, and whether the socket hooks see it. */
const VANTAGES = {
	client: ['client', false],
	host: ['node1', true],
	pod1a: ['pod1a', true],
	pod1b: ['pod1b', true],
	/** The same pods, with sockets that no hook sees, like those of another kernel. */
	bypass1a: ['pod1a', false],
	bypass1b: ['pod1b', false],
	pod2a: ['pod2a', true],
} as const satisfies Record<string, readonly [namespace: string, hooked: boolean]>;
export type Vantage = keyof typeof VANTAGES;

export interface Served {
	readonly topology: Topology;
	readonly nodes: readonly [Node, Node];
}

/**
 * Starts both nodes with attached programs and SERVICES in their maps. The pods have no servers
 * yet.
 */
export async function startNodes(prefix: string): Promise<Served> {
	const topology = new Topology(prefix);
	try {
		const node1 = await Node.start(topology, NODES[0]!);
		const node2 = await Node.start(topology, NODES[1]!);
		for (const node of [node1, node2]) fill(node);
		return { topology, nodes: [node1, node2] };
	} catch (error) {
		topology.close();
		throw error;
	}
}

export class Cluster {
	readonly topology: Topology;
	readonly nodes: readonly [Node, Node];
	readonly #peers = new Map<Vantage, Peer>();

	static async start(prefix: string): Promise<Cluster> {
		const cluster = new Cluster(await startNodes(prefix));
		try {
			await cluster.#serve();
			return cluster;
		} catch (error) {
			await cluster.close();
			throw error;
		}
	}

	private constructor({ topology, nodes }: Served) {
		this.topology = topology;
		this.nodes = nodes;
	}

	/** The peer process of the vantage, started at first use. */
	peer(vantage: Vantage): Peer {
		const known = this.#peers.get(vantage);
		if (known) return known;
		const [namespace, hooked] = VANTAGES[vantage];
		const node = PODS.find(({ name }) => name === namespace)?.node ?? namespace;
		const cgroup = this.nodes.find(({ place }) => place.name === node)?.cgroup;
		const peer = new Peer(this.topology.net.path(namespace), hooked ? cgroup : undefined);
		this.#peers.set(vantage, peer);
		return peer;
	}

	async #serve(): Promise<void> {
		for (const name of ['pod1a', 'pod2a'] as const)
			for (const address of [podOf(name).v4, podOf(name).v6]) {
				await this.peer(name).call('serveTcp', { name, address, port: TARGET_PORT });
				await this.peer(name).call('serveUdp', { name, address, port: TARGET_PORT });
			}
	}

	async close(): Promise<void> {
		await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
		for (const node of this.nodes) node.close();
		this.topology.close();
	}
}

/** Writes the Services as a node's control loop would write them. */
function fill(node: Node): void {
	for (const service of Object.keys(SERVICES) as ServiceName[])
		for (const family of ['v4', 'v6'] as const)
			node.services.address(clusterIp(service, family), ServiceAddressFlag.CLUSTERIP);
	for (const [service, { pods }] of Object.entries(SERVICES) as [ServiceName, { pods: readonly string[] }][])
		for (const proto of ['tcp', 'udp'] as const satisfies readonly Proto[])
			for (const family of ['v4', 'v6'] as const) {
				const port = nodePort(service);
				const scope = FrontendScope.INTERNAL;
				const loopback = FrontendFlag.NODEPORT | FrontendFlag.LOOPBACK;
				const flags = FrontendFlag.NODEPORT;
				const address = node.place[family];
				node.services.add({
					proto,
					frontends: [
						{ address: clusterIp(service, family), port: SERVICE_PORT, scope },
						{ address, port },
						{ address, port, scope, flags },
						{ address: family === 'v4' ? '127.0.0.1' : '::1', port, scope, flags: loopback },
					],
					backends: pods.map((name) => ({
						address: podOf(name)[family],
						port: service === 'closed' ? TARGET_PORT + 1 : TARGET_PORT,
						local: podOf(name).node === node.place.name,
					})),
				});
			}
}
