/**
 * The namespaces of the client and the nodes. A bridge in the client's namespace is the wire: each
 * node's `eth0` is a veth whose peer is a port of the bridge. The machine's own namespace stays
 * unchanged.
 */
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { netnsPath } from '../../agent/bpf/netns.ts';
import { CLIENT_ADDRESSES, NODE_PREFIX, nodeAddresses, podSubnets, SERVICE_CIDRS } from './addresses.ts';
import { prepareAnnouncing } from './announcing.ts';
import { ipBatch, run } from './ip.ts';
import { clientNamespace, nodeName, nodeNamespace } from './names.ts';
import { configureNamespace } from './sysctl.ts';

export interface Topology {
	readonly prefix: string;
	/** Number of nodes: node1 ... nodeN. */
	readonly nodes: number;
}

const BRIDGE = 'br0';
export const MTU = 1500;

/**
 * Creates the namespaces of the client and all nodes. After a failure, destroyTopology() must
 * remove the rest.
 */
export async function createTopology(switcher: NetnsSwitcher, topology: Topology): Promise<void> {
	await createClient(switcher, topology);
	for (let node = 1; node <= topology.nodes; node++) await createNode(switcher, topology, node);
}

async function createClient(switcher: NetnsSwitcher, { prefix }: Topology): Promise<void> {
	const netns = clientNamespace(prefix);
	switcher.create(netns);
	configureNamespace(switcher, netns, 'host');
	await ipBatch(netns, [
		'link set lo up',
		// No forwarding delay and no snooping: a port forwards from its first packet
		`link add ${BRIDGE} mtu ${MTU} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
		`link set ${BRIDGE} up`,
		`addr add ${CLIENT_ADDRESSES.v4}/${NODE_PREFIX.v4} dev ${BRIDGE}`,
		`addr add ${CLIENT_ADDRESSES.v6}/${NODE_PREFIX.v6} dev ${BRIDGE} nodad`,
		// Packets to ClusterIPs from outside go to node1, as if a router had the cluster's routes
		`route add ${SERVICE_CIDRS.v4} via ${nodeAddresses(1).v4}`,
		`route add ${SERVICE_CIDRS.v6} via ${nodeAddresses(1).v6}`,
	]);
}

async function createNode(switcher: NetnsSwitcher, topology: Topology, node: number): Promise<void> {
	const name = nodeName(node);
	const netns = nodeNamespace(topology.prefix, name);
	const client = clientNamespace(topology.prefix);
	switcher.create(netns);
	configureNamespace(switcher, netns, 'router');
	const own = nodeAddresses(node);
	await ipBatch(client, [
		`link add ${name} mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${netns}`,
		`link set ${name} master ${BRIDGE} up`,
	]);
	await ipBatch(netns, [
		'link set lo up',
		'link set eth0 up',
		`addr add ${own.v4}/${NODE_PREFIX.v4} dev eth0`,
		`addr add ${own.v6}/${NODE_PREFIX.v6} dev eth0 nodad`,
		`route add default via ${CLIENT_ADDRESSES.v4}`,
		`route add default via ${CLIENT_ADDRESSES.v6}`,
		...otherPodSubnets(topology, node),
	]);
	await behaveLikeWire(client, name);
	await prepareAnnouncing(switcher, netns);
}

function otherPodSubnets(topology: Topology, node: number): string[] {
	const routes: string[] = [];
	for (let other = 1; other <= topology.nodes; other++) {
		if (other === node) continue;
		const [via, subnets] = [nodeAddresses(other), podSubnets(other)];
		routes.push(`route add ${subnets.v4} via ${via.v4}`, `route add ${subnets.v6} via ${via.v6}`);
	}
	return routes;
}

/**
 * Makes packets to a node's eth0 look like those from a network card: whole, with complete
 * checksums. Native XDP runs before the kernel could complete them. GRO gives the port NAPI;
 * without it, packets from XDP_TX on the node have no receiver (drivers/net/veth.c).
 */
async function behaveLikeWire(client: string, port: string): Promise<void> {
	const features = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'on'];
	await run('nsenter', [`--net=${netnsPath(client)}`, 'ethtool', '-K', port, ...features]);
}
