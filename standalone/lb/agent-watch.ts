/**
 * Polls the health of the nodes' agents over the clients' network, so that a disconnected node is
 * unhealthy too.
 */
import type { Clock } from '../../agent/base/clock.ts';
import type { NodeHealth } from './placement.ts';

/**
 * `ill`: the node responds, but its agent does not report healthy. `gone`: the node does not
 * respond.
 */
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
 * Consecutive answers that change a node's state. A node without its agent still forwards packets.
 * An agent restart takes some seconds and must not move addresses.
 */
const NEEDED = { well: 2, ill: 8, gone: 3 } as const;

interface State {
	healthy: boolean;
	/** Number of consecutive answers that contradict `healthy`. */
	against: number;
}

/** Creates the health of the nodes. A node is healthy until it fails. */
export function createAgentWatch({ nodes, ask, clock, signal }: AgentWatchOptions): NodeHealth {
	const states = new Map<string, State>();
	const listeners: (() => void)[] = [];
	/** Stops the polling; undefined while no polling runs. */
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
