/** Asks the nodes' agents whether they are well, over the wire that clients use: a node that is cut off is not well either. */
import type { Clock } from '../controllers/clock.ts';
import type { NodeHealth } from './placement.ts';

/** `ill`: the node is there, its agent does not say that it is healthy. `gone`: the node does not answer at all. */
export type AgentAnswer = 'well' | 'ill' | 'gone';

export interface AgentWatchOptions {
	readonly nodes: readonly string[];
	/** Never rejects. */
	readonly ask: (node: string) => Promise<AgentAnswer>;
	readonly clock: Clock;
	readonly signal: AbortSignal;
}

const EVERY_MS = 1000;
/**
 * Answers in a row that change a node's state. A node whose agent is away still forwards, and a restart takes some
 * seconds and is to move nothing.
 */
const NEEDED = { well: 2, ill: 8, gone: 3 } as const;

interface State {
	healthy: boolean;
	/** Answers in a row that say the opposite. */
	against: number;
}

/** Nodes are taken to be healthy until they fail. */
export function createAgentWatch({ nodes, ask, clock, signal }: AgentWatchOptions): NodeHealth {
	const states = new Map<string, State>();
	const listeners: (() => void)[] = [];
	/** Ends the rounds under way; undefined while nobody is asked. */
	let cancel: (() => void) | undefined;

	function hear(node: string, answer: AgentAnswer): void {
		const well = answer === 'well';
		const state = states.get(node) ?? { healthy: true, against: 0 };
		states.set(node, state);
		if (state.healthy === well) {
			state.against = 0;
			return;
		}
		state.against++;
		if (state.against < NEEDED[answer]) return;
		states.set(node, { healthy: well, against: 0 });
		for (const changed of listeners) changed();
	}

	function start(): () => void {
		let stopped = false;
		const timers = new Map<string, () => void>();
		const round = async (node: string) => {
			const asked = clock.now();
			const answer = await ask(node);
			if (stopped || signal.aborted) return;
			hear(node, answer);
			timers.set(
				node,
				clock.after(Math.max(0, asked + EVERY_MS - clock.now()), () => void round(node)),
			);
		};
		for (const node of nodes) void round(node);
		return () => {
			stopped = true;
			for (const stop of timers.values()) stop();
		};
	}

	signal.addEventListener('abort', () => cancel?.(), { once: true });
	return {
		healthy: (node) => states.get(node)?.healthy ?? true,
		subscribe: (changed) => void listeners.push(changed),
		watch(needed) {
			if (needed === (cancel !== undefined) || signal.aborted) return;
			cancel?.();
			cancel = needed ? start() : undefined;
			if (!needed) states.clear();
		},
	};
}
