import type { Clock } from '../base/clock.ts';

export interface BackoffOptions {
	/** First delay, ms. */
	readonly first: number;
	/** Longest delay before jitter, ms. */
	readonly longest: number;
	/**
	 * Longest delay before jitter while no server answers, ms: a refused connection is cheap, and a
	 * returning server has changes for us.
	 */
	readonly longestAbsent: number;
	/**
	 * Duration of a healthy connection, ms: after one, the next failure starts from `first` again.
	 */
	readonly healthyAfter: number;
	/** The same, ms, after an orderly close by the server: load balancers close idle connections. */
	readonly orderlyAfter: number;
}

/**
 * The delays of client-go's reflector (tools/cache/reflector.go): 800 ms to 30 s, doubling, with
 * full jitter on top; at most 5 s while no server answers.
 */
export const REFLECTOR_BACKOFF: BackoffOptions = {
	...{ first: 800, longest: 30_000, longestAbsent: 5_000 },
	...{ healthyAfter: 120_000, orderlyAfter: 1000 },
};

/** Computes the delay before the next attempt; one instance per resource. */
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
	 * @param connectedAt start of the connection that just ended, by the same clock; undefined when
	 * there was none
	 * @param how it ended: by an orderly close, by a fault, or without any answer of a server
	 * @returns ms to wait: 0 after a healthy connection, else between 1 and 2 times the current delay
	 */
	next(connectedAt: number | undefined, how: 'orderly' | 'failed' | 'absent' = 'failed'): number {
		const { healthyAfter, orderlyAfter, longest, longestAbsent } = this.#options;
		const lasted = connectedAt === undefined ? -1 : this.#clock.now() - connectedAt;
		if (lasted >= (how === 'orderly' ? orderlyAfter : healthyAfter)) {
			this.#delay = this.#options.first;
			return 0;
		}
		const delay = Math.min(this.#delay, how === 'absent' ? longestAbsent : longest) * (1 + this.#random());
		this.#delay = Math.min(this.#delay * 2, longest);
		return delay;
	}
}
