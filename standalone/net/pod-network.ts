/**
 * A pod's namespace. Its `eth0` is one end of a veth pair; the node's end has the gateway's address
 * and a host route. Without a bridge on the node, each packet of a pod passes the node's routing,
 * as with most CNIs.
 */
import { readFileSync } from 'node:fs';
import { type NetnsSwitcher, netnsExists } from '../../agent/bpf/netns.ts';
import { type Addresses, nodeAddresses, POD_GATEWAY } from './addresses.ts';
import { ipBatch } from './ip.ts';
import { configureNamespace } from './sysctl.ts';
import { MTU } from './topology.ts';

export interface PodNetwork {
	/** The pod's namespace. */
	readonly netns: string;
	/** The node's namespace, and its number. */
	readonly nodeNetns: string;
	readonly node: number;
	/** Device name of the node's end of the link. */
	readonly link: string;
	readonly addresses: Addresses;
}

/** Creates a pod's network in about 10 ms, with two processes of ip(8). */
export async function createPodNetwork(switcher: NetnsSwitcher, pod: PodNetwork): Promise<void> {
	switcher.create(pod.netns);
	configureNamespace(switcher, pod.netns, 'host');
	const { v4, v6 } = pod.addresses;
	const source = nodeAddresses(pod.node);
	await ipBatch(pod.nodeNetns, [
		`link add ${pod.link} mtu ${MTU} type veth peer name eth0 mtu ${MTU} netns ${pod.netns}`,
		`link set ${pod.link} addrgenmode none up`,
		`addr add ${POD_GATEWAY.v4}/32 dev ${pod.link} scope link`,
		`addr add ${POD_GATEWAY.v6}/64 dev ${pod.link} scope link nodad`,
		// The node uses its own address towards its pods, on every link
		`route add ${v4}/32 dev ${pod.link} src ${source.v4}`,
		`route add ${v6}/128 dev ${pod.link} src ${source.v6}`,
	]);
	await ipBatch(pod.netns, [
		'link set lo up',
		'link set eth0 up',
		`addr add ${v4}/32 dev eth0`,
		`addr add ${v6}/128 dev eth0 nodad`,
		`route add default via ${POD_GATEWAY.v4} dev eth0 onlink`,
		`route add default via ${POD_GATEWAY.v6} dev eth0`,
	]);
}

/** Whether both ends exist, from an earlier control plane. */
export function podNetworkExists(switcher: NetnsSwitcher, pod: PodNetwork): boolean {
	if (!netnsExists(pod.netns)) return false;
	const devices = switcher.within(pod.nodeNetns, () => readFileSync('/proc/thread-self/net/dev', 'utf8'));
	return devices.includes(`${pod.link}:`);
}

/**
 * Removes the node's link (with the pod's end and the routes), then the namespace's name. The order
 * matters: an open socket keeps a namespace and its devices alive.
 */
export async function destroyPodNetwork(switcher: NetnsSwitcher, pod: PodNetwork): Promise<void> {
	try {
		await ipBatch(pod.nodeNetns, [`link del ${pod.link}`]);
	} catch {
		// Already removed with the node's namespace, or never created
	}
	switcher.remove(pod.netns);
}
