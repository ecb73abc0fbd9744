/**
 * The address plan of the standalone network. Numbers appear in IPv6 texts as the same digits that they have in
 * IPv4 (node 11 is 192.168.10.21 and fd00:10::21), so that a reader matches the two at a glance.
 */
export const CLIENT_ADDRESSES = { v4: '192.168.10.100', v6: 'fd00:10::100' } as const;
/** The network of the client and the nodes. */
export const NODE_PREFIX = { v4: 24, v6: 64 } as const;
/** Addresses of the node side of every pod's link: the pod's gateway, the same everywhere. */
export const POD_GATEWAY = { v4: '169.254.1.1', v6: 'fe80::1' } as const;
export const SERVICE_CIDRS = { v4: '10.96.0.0/16', v6: 'fd00:10:96::/112' } as const;
/** Where pods ask for names: the tenth address of each range, as kubeadm has it. */
export const CLUSTER_DNS = { v4: '10.96.0.10', v6: 'fd00:10:96::a' } as const;
/** The agent's --dns-domain, which stays as it is by default. */
export const CLUSTER_ZONE = 'cluster.local';
/** For Services of type LoadBalancer, in the client's network: behind the client's own address. */
export const LB_POOLS = {
	v4: '192.168.10.200-192.168.10.250',
	v6: 'fd00:10::200-fd00:10::2ff',
} as const;
/** Node numbers end where their addresses would meet the client's .100. */
export const MAX_NODES = 89;
/** Pods of a node: .2 to .254 of its /24. */
export const FIRST_POD = 2;
export const LAST_POD = 254;

export interface Addresses {
	readonly v4: string;
	readonly v6: string;
}

/** @param node 1 for node1. @throws RangeError outside 1..MAX_NODES. */
export function nodeAddresses(node: number): Addresses {
	checkNode(node);
	return { v4: `192.168.10.${10 + node}`, v6: `fd00:10::${10 + node}` };
}

export function podSubnets(node: number): Addresses {
	checkNode(node);
	return { v4: `10.244.${node}.0/24`, v6: `fd00:244:${node}::/64` };
}

/** @param index FIRST_POD..LAST_POD, unique among the pods of the node. */
export function podAddresses(node: number, index: number): Addresses {
	checkNode(node);
	return { v4: `10.244.${node}.${index}`, v6: `fd00:244:${node}::${index}` };
}

function checkNode(node: number): void {
	if (!Number.isInteger(node) || node < 1 || node > MAX_NODES)
		throw new RangeError(`Cannot number a node ${node}: expected 1 to ${MAX_NODES}`);
}

/** Hands out the pod numbers of one node, the longest unused first, so that an address is not reused at once. */
export class PodNumbers {
	readonly #used = new Set<number>();
	#next = FIRST_POD;

	/** @throws RangeError when all are in use. */
	take(): number {
		const span = LAST_POD - FIRST_POD + 1;
		for (let tried = 0; tried < span; tried++) {
			const index = this.#next;
			this.#next = index === LAST_POD ? FIRST_POD : index + 1;
			if (this.#used.has(index)) continue;
			this.#used.add(index);
			return index;
		}
		throw new RangeError(`Cannot give the pod an address: all ${span} of the node's subnet are in use`);
	}

	/** Takes the number of an address that a pod of the node had before. @returns undefined when it is none or in use. */
	claim(node: number, address: string | undefined): number | undefined {
		for (let index = FIRST_POD; index <= LAST_POD; index++) {
			const { v4, v6 } = podAddresses(node, index);
			if (address !== v4 && address !== v6) continue;
			if (this.#used.has(index)) return undefined;
			this.#used.add(index);
			return index;
		}
		return undefined;
	}

	release(index: number): void {
		this.#used.delete(index);
	}
}
