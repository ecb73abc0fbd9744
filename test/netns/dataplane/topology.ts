/**
 * A client and two nodes on one bridge, with pods behind the nodes:
 *
 *     client (bridge br0) --- node1 (eth0) --- pod1a, pod1b
 *                         \-- node2 (eth0) --- pod2a
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDead, Net } from '../../packet/net.ts';

export interface PodPlace {
	name: string;
	node: string;
	v4: string;
	v6: string;
	/** The host end of its veth. */
	device: string;
}
export interface NodePlace {
	name: string;
	v4: string;
	v6: string;
	podsV4: string;
	podsV6: string;
}

export const CLIENT = { v4: '192.168.10.100', v6: 'fd00:10::100' } as const;
export const NODES: readonly NodePlace[] = [1, 2].map((n) => ({
	name: `node${n}`,
	v4: `192.168.10.${10 + n}`,
	v6: `fd00:10::${10 + n}`,
	podsV4: `10.244.${n}.0/24`,
	podsV6: `fd00:244:${n}::/64`,
}));
export const PODS: readonly PodPlace[] = [
	['pod1a', 1, 10],
	['pod1b', 1, 11],
	['pod2a', 2, 10],
].map(([name, n, host]) => ({
	name: name as string,
	node: `node${n}`,
	v4: `10.244.${n}.${host}`,
	v6: `fd00:244:${n}::${host}`,
	device: `v${name}`,
}));

export const podOf = (name: string): PodPlace => PODS.find((pod) => pod.name === name)!;
export const nodeOf = (name: string): NodePlace => NODES.find((node) => node.name === name)!;

/** The first mount of cgroup v2, which may be mounted beside v1. */
export function cgroupRoot(): string {
	return execFileSync('findmnt', ['-nro', 'TARGET', '-t', 'cgroup2'], { encoding: 'utf8' }).split('\n')[0]!;
}

/** Removes the cgroups of killed runs. */
function sweepCgroups(base: string): void {
	const root = cgroupRoot();
	for (const name of readdirSync(root).filter((one) => isDead(base, one))) {
		for (const node of NODES)
			if (existsSync(join(root, name, node.name))) rmdirSync(join(root, name, node.name));
		rmdirSync(join(root, name));
	}
}

export class Topology implements Disposable {
	readonly net: Net;
	readonly #cgroups: string[] = [];

	constructor(prefix: string) {
		this.net = new Net(prefix);
		sweepCgroups(prefix);
		try {
			this.#build();
		} catch (error) {
			this.close();
			throw error;
		}
	}

	#build(): void {
		const { net } = this;
		net.add('client', { forward: true });
		net.ip('client', 'link add br0 type bridge', 'link set br0 up');
		net.ip('client', `address add ${CLIENT.v4}/24 dev br0`, `address add ${CLIENT.v6}/64 dev br0 nodad`);
		for (const node of NODES) this.#node(node);
		for (const pod of PODS) this.#pod(pod);
		for (const node of NODES) this.#routes(node);
	}

	#node(node: NodePlace): void {
		const { net } = this;
		net.add(node.name, { forward: true });
		net.veth({ ns: node.name, dev: 'eth0' }, { ns: 'client', dev: node.name });
		net.ip('client', `link set ${node.name} master br0`);
		net.ip(node.name, `address add ${node.v4}/24 dev eth0`, `address add ${node.v6}/64 dev eth0 nodad`);
		// XDP_TX out of a veth needs NAPI on the peer device, which GRO enables
		net.exec('client', 'ethtool', '-K', node.name, 'gro', 'on');
	}

	#pod(pod: PodPlace): void {
		const { net } = this;
		net.add(pod.name);
		net.veth({ ns: pod.node, dev: pod.device }, { ns: pod.name, dev: 'eth0' });
		net.ip(pod.name, `address add ${pod.v4}/32 dev eth0`, `address add ${pod.v6}/128 dev eth0 nodad`);
		net.ip(
			pod.node,
			`address add 169.254.1.1/32 dev ${pod.device} scope link`,
			`address add fe80::1/64 dev ${pod.device} nodad`,
		);
		net.ip(
			pod.name,
			'route add 169.254.1.1 dev eth0 scope link',
			`route add default via 169.254.1.1 dev eth0 src ${pod.v4}`,
			`route add default via fe80::1 dev eth0 src ${pod.v6}`,
		);
		const { v4, v6 } = nodeOf(pod.node);
		net.ip(
			pod.node,
			`route add ${pod.v4} dev ${pod.device} src ${v4}`,
			`route add ${pod.v6} dev ${pod.device} src ${v6}`,
		);
	}

	#routes(node: NodePlace): void {
		const others = NODES.filter((other) => other !== node);
		for (const other of others)
			this.net.ip(
				node.name,
				`route add ${other.podsV4} via ${other.v4}`,
				`route add ${other.podsV6} via ${other.v6}`,
			);
		this.net.ip(node.name, `route add default via ${CLIENT.v4}`, `route add default via ${CLIENT.v6}`);
		this.net.ip(
			'client',
			`route add ${node.podsV4} via ${node.v4}`,
			`route add ${node.podsV6} via ${node.v6}`,
		);
	}

	/** Sets checksum and segmentation offloads of every veth. */
	offloads(on: boolean): void {
		const value = on ? 'on' : 'off';
		const set = (ns: string, dev: string) =>
			this.net.exec(ns, 'ethtool', '-K', dev, 'tx', value, 'tso', value, 'gso', value);
		for (const node of NODES) {
			set(node.name, 'eth0');
			set('client', node.name);
		}
		for (const pod of PODS) {
			set(pod.name, 'eth0');
			set(pod.node, pod.device);
		}
	}

	/** Creates a cgroup v2 directory below the mount. close() removes it. */
	cgroup(...names: readonly string[]): string {
		const path = [cgroupRoot(), ...names].join('/');
		mkdirSync(path, { recursive: true });
		names.forEach((_, i) => {
			const made = [cgroupRoot(), ...names.slice(0, i + 1)].join('/');
			if (!this.#cgroups.includes(made)) this.#cgroups.push(made);
		});
		return path;
	}

	close(): void {
		this.net.close();
		for (const path of this.#cgroups.toSorted((a, b) => b.length - a.length)) rmdirSync(path);
		this.#cgroups.length = 0;
	}

	[Symbol.dispose](): void {
		this.close();
	}
}
