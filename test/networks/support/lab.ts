/**
 * Building blocks of topologies: nodes, pods and an outside in network namespaces, with the
 * addresses of test/netns/dataplane/topology.ts. A topology reuses the blocks of the flat network
 * and builds the rest:
 *
 *     far --- client (router, bridge br0) --- node1 (eth0) --- pod1a, pod1b
 *                                         \-- node2 (eth0) --- pod2a
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import {
	CLIENT,
	cgroupRoot,
	NODES,
	type NodePlace,
	nodeOf,
	PODS,
	type PodPlace,
} from '../../netns/dataplane/topology.ts';
import { isDead, Net } from '../../packet/net.ts';
import { receiveByNapi } from './napi.ts';
import { drop, fromWrongSide, netfilter } from './nft.ts';

/** A client and server behind the router of the nodes. */
export const FAR = { v4: '192.168.30.100', v6: 'fd00:30::100' } as const;
/** Addresses of load balancers. The client routes them to node1. */
export const BALANCERS = { v4: '198.51.100.0/24', v6: 'fd00:100::/64' } as const;
/** All pods of all nodes. */
export const ALL_PODS = { v4: '10.244.0.0/16', v6: 'fd00:244::/32' } as const;
/** Strict reverse path filtering, loose as systemd sets it, or none. */
export type RpFilter = 'strict' | 'loose' | 'off';
const RP_FILTER = { off: '0', strict: '1', loose: '2' } as const;

export interface Wire {
	/** The device at the node's end. */
	readonly device?: string;
	/** Bridge in the client namespace whose port is the other end. */
	readonly bridge?: string;
}

export class Lab implements Disposable {
	readonly net: Net;
	readonly #wires: { ns: string; dev: string }[] = [];
	readonly #undo: (() => void)[] = [];

	constructor(base: string) {
		this.net = new Net(base);
		sweepCgroups(base);
	}

	/** Registers a call for close(), before the namespaces are removed. */
	atEnd(action: () => void): void {
		this.#undo.push(action);
	}

	/**
	 * Builds the client, which routes for the nodes, and the far host. The wires are ports of bridge
	 * br0.
	 */
	outside(): void {
		const { net } = this;
		net.add('client', { forward: true });
		// its bridges act as switches, so the netfilter rules of the router must not see bridged
		// packets
		const filters = '/proc/sys/net/bridge/bridge-nf-call-ip*tables';
		net.exec('client', 'sh', '-c', `for file in ${filters}; do [ ! -e "$file" ] || echo 0 >"$file"; done`);
		this.bridge('br0', `${CLIENT.v4}/24`, `${CLIENT.v6}/64`);
		net.add('far');
		net.veth({ ns: 'far', dev: 'eth0' }, { ns: 'client', dev: 'far' });
		net.ip('far', `address add ${FAR.v4}/24 dev eth0`, `address add ${FAR.v6}/64 dev eth0 nodad`);
		net.ip('client', 'address add 192.168.30.1/24 dev far', 'address add fd00:30::1/64 dev far nodad');
		net.ip('far', 'route add default via 192.168.30.1', 'route add default via fd00:30::1');
	}

	/** Adds a bridge to the client namespace. */
	bridge(name: string, v4: string, v6: string): void {
		this.net.ip('client', `link add ${name} type bridge`, `link set ${name} up`);
		this.net.ip('client', `address add ${v4} dev ${name}`, `address add ${v6} dev ${name} nodad`);
	}

	/** Adds the namespaces of the nodes, without devices. */
	bareNodes(rpFilter: RpFilter = 'loose'): void {
		for (const { name } of NODES) {
			this.net.add(name, { forward: true });
			const value = RP_FILTER[rpFilter];
			this.net.sysctl(name, {
				'net/ipv4/conf/all/rp_filter': value,
				'net/ipv4/conf/default/rp_filter': value,
			});
			if (rpFilter === 'strict') this.strictV6(name);
		}
	}

	/** Adds firewalld's reverse path rule, because IPv6 has no rp_filter. */
	strictV6(ns: string): void {
		netfilter(this.net.name(ns), 'v6', 'mangle', [...fromWrongSide(), ...drop()]);
	}

	/**
	 * Connects a node to a bridge of the client by a veth. offloads() sets its checksums like those
	 * of a NIC.
	 */
	wire(node: NodePlace, { device = 'eth0', bridge = 'br0' }: Wire = {}): void {
		const { net } = this;
		const port = `${node.name}-${device}`;
		net.veth({ ns: node.name, dev: device }, { ns: 'client', dev: port });
		net.ip('client', `link set ${port} master ${bridge}`);
		// XDP_TX out of a veth needs NAPI on the peer device, which GRO enables
		net.exec('client', 'ethtool', '-K', port, 'gro', 'on');
		receiveByNapi(net.name('client'), net.ifindex('client', port));
		this.#wires.push({ ns: node.name, dev: device }, { ns: 'client', dev: port });
	}

	/** Adds the addresses of the node and its default routes to a device. */
	address({ name, v4, v6 }: NodePlace, device = 'eth0'): void {
		this.net.ip(name, `address add ${v4}/24 dev ${device}`, `address add ${v6}/64 dev ${device} nodad`);
		this.net.ip(name, `route add default via ${CLIENT.v4}`, `route add default via ${CLIENT.v6}`);
	}

	/** Adds nodes with one NIC each. */
	nodes(rpFilter: RpFilter = 'loose'): void {
		this.bareNodes(rpFilter);
		for (const node of NODES) {
			this.wire(node);
			this.address(node);
		}
	}

	/** Adds pods with a veth, the gateways 169.254.1.1 and fe80::1, and a route to each pod. */
	pods(options: { mtu?: number } = {}): void {
		for (const pod of PODS) {
			this.net.add(pod.name);
			this.net.veth({ ns: pod.node, dev: pod.device }, { ns: pod.name, dev: 'eth0' });
			if (options.mtu !== undefined) {
				this.net.ip(pod.node, `link set ${pod.device} mtu ${options.mtu}`);
				this.net.ip(pod.name, `link set eth0 mtu ${options.mtu}`);
			}
			this.gateway(pod);
		}
	}

	/** Adds addresses and routes to eth0 of a pod and to the node's device for it. */
	gateway({ name, node, device, v4, v6 }: PodPlace): void {
		const { net } = this;
		const via = '169.254.1.1';
		net.ip(
			node,
			`address add ${via}/32 dev ${device} scope link`,
			`address add fe80::1/64 dev ${device} nodad`,
		);
		net.ip(name, `address add ${v4}/32 dev eth0`, `address add ${v6}/128 dev eth0 nodad`);
		net.ip(name, `route add ${via} dev eth0 scope link`, `route add default via ${via} dev eth0 src ${v4}`);
		net.ip(name, `route add default via fe80::1 dev eth0 src ${v6}`);
		const host = nodeOf(node);
		net.ip(
			node,
			`route add ${v4} dev ${device} src ${host.v4}`,
			`route add ${v6} dev ${device} src ${host.v6}`,
		);
	}

	/** Routes the pod ranges through the node addresses. */
	podRoutes(families: readonly ('v4' | 'v6')[] = ['v4', 'v6']): void {
		for (const node of NODES)
			for (const other of NODES.filter((one) => one !== node)) {
				if (families.includes('v4')) this.net.ip(node.name, `route add ${other.podsV4} via ${other.v4}`);
				if (families.includes('v6')) this.net.ip(node.name, `route add ${other.podsV6} via ${other.v6}`);
			}
	}

	/** Routes the pod ranges from the outside to the nodes. */
	podsFromOutside(): void {
		for (const { podsV4, podsV6, v4, v6 } of NODES)
			this.net.ip('client', `route add ${podsV4} via ${v4}`, `route add ${podsV6} via ${v6}`);
	}

	/** Routes load balancer addresses from the outside to node1. */
	balancers(via: { v4: string; v6: string } = nodeOf('node1')): void {
		this.net.ip(
			'client',
			`route add ${BALANCERS.v4} via ${via.v4}`,
			`route add ${BALANCERS.v6} via ${via.v6}`,
		);
	}

	/**
	 * Sets checksum and segmentation offloads on the node wires. A veth never completes offloaded
	 * checksums.
	 */
	offloads(on: boolean): void {
		const value = on ? 'on' : 'off';
		for (const { ns, dev } of this.#wires)
			this.net.exec(ns, 'ethtool', '-K', dev, 'tx', value, 'tso', value, 'gso', value);
	}

	/** Adds a routing rule of one family. */
	rule(ns: string, family: 'v4' | 'v6', rule: string): void {
		this.net.exec(ns, 'ip', family === 'v4' ? '-4' : '-6', 'rule', 'add', ...rule.split(' '));
	}

	/** Creates a cgroup v2 directory below the mount. close() removes it. */
	cgroup(name: string): string {
		const path = `${cgroupRoot()}/${this.net.prefix}/${name}`;
		mkdirSync(path, { recursive: true });
		return path;
	}

	close(): void {
		for (const action of this.#undo.reverse()) action();
		this.net.close();
		removeCgroups(`${cgroupRoot()}/${this.net.prefix}`);
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

function removeCgroups(path: string): void {
	if (!existsSync(path)) return;
	for (const entry of readdirSync(path, { withFileTypes: true }))
		if (entry.isDirectory()) rmdirSync(`${path}/${entry.name}`);
	rmdirSync(path);
}

/** Removes the cgroups of killed runs. */
function sweepCgroups(base: string): void {
	const root = cgroupRoot();
	for (const name of readdirSync(root).filter((one) => isDead(base, one))) removeCgroups(`${root}/${name}`);
}
