/**
 * The address plan of the standalone network. Numbers have the same digits in IPv4 and IPv6 texts
 * (node 11 is 192.168.10.21 and fd00:10::21), so that a reader can match the two.
 */
export const CLIENT_ADDRESSES = { v4: '192.168.10.100', v6: 'fd00:10::100' } as const;
/** The network of the client and the nodes. */
export const NODE_PREFIX = { v4: 24, v6: 64 } as const;
/** Addresses of the node's end of every pod link. They are the gateway of every pod. */
export const POD_GATEWAY = { v4: '169.254.1.1', v6: 'fe80::1' } as const;
export const SERVICE_CIDRS = { v4: '10.96.0.0/16', v6: 'fd00:10:96::/112' } as const;
/** Addresses of the cluster's DNS: the tenth of each range, as in kubeadm. */
export const CLUSTER_DNS = { v4: '10.96.0.10', v6: 'fd00:10:96::a' } as const;
/** Equals the default of the agent's --dns-domain. */
export const CLUSTER_ZONE = 'cluster.local';
/**
 * Default pools for Services of type LoadBalancer, in the client's network after the client's own
 * address.
 */
export const LB_POOLS = {
	v4: '192.168.10.200-192.168.10.250',
	v6: 'fd00:10::200-fd00:10::2ff',
} as const;
/** Maximum node number. Higher numbers would reach the client's .100. */
export const MAX_NODES = 89;
/** Pods of a node use .2 to .254 of its /24. */
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

/** Allocates the pod numbers of one node in rotation, so that an address is not reused at once. */
export class PodNumbers {
	readonly #used = new Set<number>();
	#next = FIRST_POD;

	/** @throws RangeError if all numbers are in use. */
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

	/**
	 * Takes the number of a pod's earlier address.
	 * @returns undefined if the address is outside the subnet or in use.
	 */
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
