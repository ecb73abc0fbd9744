/** Services whose last change failed. Each has its own backoff, and does not block the others. */
import type { Problem } from '../model/types.ts';

const BACKOFF = { first: 1_000, longest: 60_000 } as const;

interface Entry {
	readonly failures: number;
	readonly due: number;
	readonly reason: string;
}

export class SetAside {
	readonly #entries = new Map<string, Entry>();

	/**
	 * @param now of the caller's clock, ms
	 * @param reason the failure, for people
	 * @returns ms until the next try
	 */
	add(key: string, now: number, reason: string): number {
		const failures = (this.#entries.get(key)?.failures ?? 0) + 1;
		const delay = Math.min(BACKOFF.first * 2 ** (failures - 1), BACKOFF.longest);
		this.#entries.set(key, { failures, due: now + delay, reason });
		return delay;
	}

	/** The Service has succeeded or is gone. */
	delete(key: string): void {
		this.#entries.delete(key);
	}

	/** Services whose backoff has ended. */
	due(now: number): string[] {
		return [...this.#entries].filter(([, { due }]) => due <= now).map(([key]) => key);
	}

	/** Time of the next retry; undefined: none. */
	get next(): number | undefined {
		return this.#entries.size === 0
			? undefined
			: Math.min(...[...this.#entries.values()].map(({ due }) => due));
	}

	problems(): Problem[] {
		return [...this.#entries].map(([key, { reason }]) => ({
			object: `Service ${key}`,
			field: '',
			message: `is served as before its last change: ${reason}; the agent tries it again by itself`,
		}));
	}
}
