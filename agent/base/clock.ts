/** Time and timers. A test replaces them to let minutes pass at once. */
export interface Clock {
	/** Milliseconds. */
	now(): number;
	/** Calls `run` once after `ms` milliseconds. @returns a function that cancels. */
	after(ms: number, run: () => void): () => void;
}

const clockOf = (now: () => number): Clock => ({
	now,
	after(ms, run) {
		const timer = setTimeout(run, ms);
		return () => clearTimeout(timer);
	},
});

/** The machine's monotonic clock. Its zero has no meaning. */
export const systemClock = clockOf(() => performance.now());

/** Milliseconds since the epoch. */
export const wallClock = clockOf(() => Date.now());

/** Resolves after `ms` or when the signal aborts. Never rejects: the caller checks the signal. */
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
