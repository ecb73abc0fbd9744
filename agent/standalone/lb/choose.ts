/** Which node answers for an address: the same answer wherever it is asked, and another only when nodes come or go. */
import { createHash } from 'node:crypto';

export interface Candidate {
	name: string;
	/** Its agent answers. */
	healthy: boolean;
}

/**
 * The first by a hash of node and address, as MetalLB's layer 2 mode: addresses spread over the nodes, and when a node goes only
 * its addresses move. Where no candidate is healthy the choice is among all: packet programs go on without their agent.
 */
export function chooseNode(address: string, candidates: readonly Candidate[]): string | undefined {
	const healthy = candidates.filter((candidate) => candidate.healthy);
	const ranked = (healthy.length > 0 ? healthy : candidates)
		.map(({ name }) => ({ name, rank: rankOf(name, address) }))
		.sort((a, b) => (a.rank < b.rank ? -1 : 1));
	return ranked[0]?.name;
}

function rankOf(node: string, address: string): string {
	return createHash('sha256').update(`${node}#${address}`).digest('hex');
}
