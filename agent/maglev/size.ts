/** Table sizes to choose from, all primes; those that Cilium and Katran offer, so figures can be compared. */
export const TABLE_SIZES = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071] as const;

/**
 * Slots for each backend. Where one address is served by many nodes (NodePort, load balancer and external IPs), a
 * packet may reach a node that has never seen its connection, so few slots may change when a backend goes. With 10
 * backends 2.8 % of the others' slots change in 1021 slots, 0.6 % in 16381, 0.4 % in 32749; but when the steps of two
 * backends' permutations are in a small ratio they follow each other, and up to 3 % change in 16381 slots (1.4 % in one
 * removal of 100), up to 1.5 % in 32749 (0.7 %). A ClusterIP is served by the client's own node, which remembers the
 * connection: there 100 are enough, and 10 000 Services of 10 backends take 40 MiB, where 1000 would take 640.
 */
export const SLOTS_PER_BACKEND = { shared: 2000, own: 100 } as const;

/**
 * Slots of the Maglev table for so many backends.
 * @param reach who may carry a connection: only this node (own), or any (shared)
 * @param fixed a prime: use this size whatever the number of backends, as long as each gets a slot
 */
export function tableSize(backends: number, reach: keyof typeof SLOTS_PER_BACKEND, fixed?: number): number {
	if (backends === 0) return 0;
	if (fixed !== undefined && fixed >= backends) return fixed;
	const wanted = backends === 1 ? 1 : backends * SLOTS_PER_BACKEND[reach];
	return TABLE_SIZES.find((size) => size >= wanted) ?? TABLE_SIZES[TABLE_SIZES.length - 1]!;
}
