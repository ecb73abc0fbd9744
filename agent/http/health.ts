/** Inputs of the health state, read at each request. */
export interface HealthSource {
	/**
	 * Age in ms of the oldest change that is not in the kernel; undefined if none is pending, or
	 * during the start.
	 */
	pendingMs(): number | undefined;
	/** Milliseconds since the last change was written; undefined: none was. */
	sinceAppliedMs(): number | undefined;
	/** False when load balancers should use another node (KEP-3836). */
	eligible(): boolean;
}

/** Longest time that a change may wait in a healthy agent: twice kube-proxy's sync period. */
export const HEALTH_TIMEOUT_MS = 60_000;

interface Times {
	readonly lastUpdated: string;
	readonly currentTime: string;
}

/**
 * Health as kube-proxy defines it (pkg/proxy/healthcheck/proxy_health.go): an agent is healthy
 * while it starts and while no change is pending, and unhealthy when a change has waited too long.
 * Loss of the API server does not count: the kernel continues to serve, and a restart would not
 * help.
 */
export class Health {
	readonly #source: HealthSource;
	readonly #now: () => number;

	/** @param now milliseconds since 1970 */
	constructor(source: HealthSource, now: () => number = Date.now) {
		this.#source = source;
		this.#now = now;
	}

	/** State for /livez: depends only on pending changes. */
	live(): { ok: boolean; body: Times } {
		const now = this.#now();
		const pending = this.#source.pendingMs();
		const ok = pending === undefined || pending < HEALTH_TIMEOUT_MS;
		// as in kube-proxy, a healthy answer is always current, since no change is overdue
		const lastUpdated = ok ? now : now - (this.#source.sinceAppliedMs() ?? now);
		return {
			ok,
			body: { lastUpdated: new Date(lastUpdated).toISOString(), currentTime: new Date(now).toISOString() },
		};
	}

	/** State for /healthz, for load balancers: also false when the node is leaving. */
	healthy(): { ok: boolean; body: Times & { nodeEligible: boolean } } {
		const { ok, body } = this.live();
		const nodeEligible = this.#source.eligible();
		return { ok: ok && nodeEligible, body: { ...body, nodeEligible } };
	}
}
