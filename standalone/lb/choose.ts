/**
 * Selects the node that announces an address. The result depends only on the set of nodes and their
 * health.
 */
import { createHash } from 'node:crypto';

export interface Candidate {
	name: string;
	/** Whether the node's agent is healthy. */
	healthy: boolean;
}

/**
 * Selects the first node by a hash of node and address, like MetalLB's layer 2 mode. Addresses
 * spread over the nodes, and if a node fails, only its addresses move. Without healthy candidates,
 * all candidates count, because packet programs continue without their agent.
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
