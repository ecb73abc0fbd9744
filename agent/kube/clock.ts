/** Time as the reflectors see it, so that a test can let minutes pass at once. */
export interface Clock {
	/** Milliseconds of a clock that never goes back. */
	now(): number;
	/** Calls `run` once after `ms` milliseconds. @returns a function that cancels. */
	after(ms: number, run: () => void): () => void;
}

/** The machine's monotonic clock. */
export const systemClock: Clock = {
	now: () => performance.now(),
	after(ms, run) {
		const timer = setTimeout(run, ms);
		return () => clearTimeout(timer);
	},
};

/** Resolves after `ms`, or at once when the signal aborts. Never rejects: the caller looks at the signal. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted || ms <= 0) {
			resolve();
			return;
		}
		const done = (): void => {
			cancel();
			signal.removeEventListener('abort', done);
			resolve();
		};
		const cancel = clock.after(ms, done);
		signal.addEventListener('abort', done, { once: true });
	});
}
