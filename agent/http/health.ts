/** What health depends on, read when someone asks. */
export interface HealthSource {
	/** Age of the oldest change that is not in the kernel, ms; undefined: nothing waits, or the agent still starts. */
	pendingMs(): number | undefined;
	/** Since the last change was written, ms; undefined: none was. */
	sinceAppliedMs(): number | undefined;
	/** False when load balancers should look for another node (KEP-3836). */
	eligible(): boolean;
}

/** Twice kube-proxy's sync period: how long a change may wait before the agent counts as ill. */
export const HEALTH_TIMEOUT_MS = 60_000;

interface Times {
	readonly lastUpdated: string;
	readonly currentTime: string;
}

/**
 * Health as kube-proxy defines it (pkg/proxy/healthcheck/proxy_health.go): an agent is well while it starts and
 * while nothing waits, and ill when a change has waited too long. Losing the API server is no illness: what is
 * in the kernel goes on serving, and a restart could do no better.
 */
export class Health {
	readonly #source: HealthSource;
	readonly #now: () => number;

	/** @param now milliseconds since 1970 */
	constructor(source: HealthSource, now: () => number = Date.now) {
		this.#source = source;
		this.#now = now;
	}

	/** What /livez answers: changes alone count. */
	live(): { ok: boolean; body: Times } {
		const now = this.#now();
		const pending = this.#source.pendingMs();
		const ok = pending === undefined || pending < HEALTH_TIMEOUT_MS;
		// as in kube-proxy, a healthy answer is always recent: "nothing to do" is up to date
		const lastUpdated = ok ? now : now - (this.#source.sinceAppliedMs() ?? now);
		return {
			ok,
			body: { lastUpdated: new Date(lastUpdated).toISOString(), currentTime: new Date(now).toISOString() },
		};
	}

	/** What /healthz answers to load balancers: also whether the node stays. */
	healthy(): { ok: boolean; body: Times & { nodeEligible: boolean } } {
		const { ok, body } = this.live();
		const nodeEligible = this.#source.eligible();
		return { ok: ok && nodeEligible, body: { ...body, nodeEligible } };
	}
}
