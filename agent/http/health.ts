/** When the clock says that it is, in milliseconds since 1970. */
export type Now = () => number;

/** Twice kube-proxy's sync period: how long a change may wait before the agent counts as unhealthy. */
export const HEALTH_TIMEOUT_MS = 60_000;

/**
 * Health as kube-proxy defines it (pkg/proxy/healthcheck/proxy_health.go): an agent is well while it starts and
 * while nothing waits, and ill when a change has waited too long. Losing the API server is no illness: what is
 * in the kernel goes on serving, and a restart could do no better.
 */
export class Health {
	readonly #now: Now;
	readonly #timeout: number;
	#oldestQueued: number | undefined;
	#lastUpdated: number | undefined;
	#eligible = true;

	constructor(now: Now = Date.now, timeoutMs: number = HEALTH_TIMEOUT_MS) {
		this.#now = now;
		this.#timeout = timeoutMs;
	}

	/** A change waits to be written. */
	queued(): void {
		this.#oldestQueued ??= this.#now();
	}

	/** Everything that waited is in the kernel. */
	applied(): void {
		this.#oldestQueued = undefined;
		this.#lastUpdated = this.#now();
	}

	/** False when load balancers should look for another node (KEP-3836). */
	setEligible(eligible: boolean): void {
		this.#eligible = eligible;
	}

	/** What /livez answers: changes alone count. */
	live(): { ok: boolean; body: { lastUpdated: string; currentTime: string } } {
		const now = this.#now();
		const ok = this.#oldestQueued === undefined || now - this.#oldestQueued < this.#timeout;
		// as in kube-proxy, a healthy answer is always recent: "nothing to do" is up to date
		const lastUpdated = ok ? now : (this.#lastUpdated ?? 0);
		return {
			ok,
			body: { lastUpdated: new Date(lastUpdated).toISOString(), currentTime: new Date(now).toISOString() },
		};
	}

	/** What /healthz answers to load balancers: also whether the node stays. */
	healthy(): { ok: boolean; body: { lastUpdated: string; currentTime: string; nodeEligible: boolean } } {
		const { ok, body } = this.live();
		return { ok: ok && this.#eligible, body: { ...body, nodeEligible: this.#eligible } };
	}
}
