/** Time as the controllers see it, so that tests can move it. */
export interface Clock {
	/** Milliseconds since the epoch. */
	now(): number;
	/** Calls `run` once after `ms`. @returns cancel. */
	after(ms: number, run: () => void): () => void;
}

export const systemClock: Clock = {
	now: () => Date.now(),
	after(ms, run) {
		const timer = setTimeout(run, ms);
		return () => clearTimeout(timer);
	},
};

/** RFC 3339 in whole seconds, as metav1.Time is written. */
export function timestamp(ms: number): string {
	return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
