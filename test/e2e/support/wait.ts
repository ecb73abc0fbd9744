import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Retries until an attempt returns a result, for at most `limitMs`. An exception or undefined is no
 * result.
 * @returns the result and the elapsed time, ms
 */
export async function eventually<T>(
	what: string,
	attempt: () => Promise<T | undefined>,
	limitMs = 30_000,
	everyMs = 25,
): Promise<{ value: T; ms: number }> {
	const start = performance.now();
	let last: unknown;
	for (;;) {
		try {
			const value = await attempt();
			if (value !== undefined) return { value, ms: performance.now() - start };
			last = undefined;
		} catch (error) {
			last = error;
		}
		const ms = performance.now() - start;
		if (ms > limitMs)
			throw new Error(`After ${Math.round(ms)} ms it is still not true that ${what}`, { cause: last });
		await sleep(everyMs);
	}
}
