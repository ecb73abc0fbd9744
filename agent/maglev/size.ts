/** Table sizes, all primes: those that Cilium and Katran offer, so that figures can be compared. */
export const TABLE_SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const;

/**
 * Slots for each backend.
 *
 * shared: many nodes serve the address (NodePort, load balancer and external IPs). A packet may
 * reach a node that has never seen its connection, so the removal of a backend must change few
 * slots of the others. With 10 backends it changes 2.8 % of those in 1021 slots, 0.6 % in 16381,
 * 0.4 % in 32749. If the steps of two backends' permutations are in a small ratio, they follow each
 * other. Then up to 3 % change in 16381 slots (1.4 % in one removal of 100), and up to 1.5 % in
 * 32749 (0.7 %).
 *
 * own: the client's node serves the address (ClusterIP) and remembers the connection, so 100 are
 * enough. 10 000 Services of 10 backends take 40 MiB; 1000 slots for each would take 640 MiB.
 */
export const SLOTS_PER_BACKEND = { shared: 2000, own: 100 } as const;

/**
 * Slots of the Maglev table for a number of backends.
 * @param reach nodes that may carry a connection: only the client's (own), or any (shared)
 * @param fixed a prime: the size to use, unless there are more backends than slots
 */
export function tableSize(backends: number, reach: keyof typeof SLOTS_PER_BACKEND, fixed?: number): number {
	if (backends === 0) return 0;
	if (fixed !== undefined && fixed >= backends) return fixed;
	const wanted = backends === 1 ? 1 : backends * SLOTS_PER_BACKEND[reach];
	return TABLE_SIZES.find((size) => size >= wanted) ?? TABLE_SIZES[TABLE_SIZES.length - 1]!;
}
