import type { Clock } from './clock.ts';

export interface BackoffOptions {
	/** First delay, ms. */
	readonly first: number;
	/** Longest delay before jitter, ms. */
	readonly longest: number;
	/** A connection that lasted this long, ms, was healthy: the next failure starts from `first` again. */
	readonly healthyAfter: number;
}

/** The delays of client-go's reflector (tools/cache/reflector.go): 800 ms to 30 s, doubling, full jitter on top. */
export const REFLECTOR_BACKOFF: BackoffOptions = { first: 800, longest: 30_000, healthyAfter: 120_000 };

/** How long to wait before the next attempt; one for each resource. */
export class Backoff {
	readonly #clock: Clock;
	readonly #random: () => number;
	readonly #options: BackoffOptions;
	#delay: number;

	/** @param random uniform in [0, 1) */
	constructor(clock: Clock, random: () => number, options: BackoffOptions = REFLECTOR_BACKOFF) {
		this.#clock = clock;
		this.#random = random;
		this.#options = options;
		this.#delay = options.first;
	}

	/**
	 * @param connectedAt when the connection that has just ended began, by the same clock; undefined when there was none
	 * @returns ms to wait: 0 after a healthy connection, else between 1 and 2 times the current delay
	 */
	next(connectedAt: number | undefined): number {
		if (connectedAt !== undefined && this.#clock.now() - connectedAt >= this.#options.healthyAfter) {
			this.#delay = this.#options.first;
			return 0;
		}
		const delay = this.#delay * (1 + this.#random());
		this.#delay = Math.min(this.#delay * 2, this.#options.longest);
		return delay;
	}
}
