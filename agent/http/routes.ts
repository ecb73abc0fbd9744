import type { Health } from './health.ts';
import type { AgentMetrics } from './metrics.ts';
import type { Route } from './server.ts';

export interface Readiness {
	/** Every resource has been listed and its first state is in the kernel. */
	readonly synced: boolean;
	/** All required programs are attached. */
	readonly attached: boolean;
}

/** /healthz for load balancers, /livez for kubelet, /readyz for the rollout of the DaemonSet. */
export function healthRoutes(
	health: Health,
	readiness: () => Readiness,
	metrics: AgentMetrics,
): Record<string, Route> {
	return {
		'/healthz': () => {
			const { ok, body } = health.healthy();
			metrics.healthz.inc({ code: ok ? '200' : '503' });
			return { status: ok ? 200 : 503, body };
		},
		'/livez': () => {
			const { ok, body } = health.live();
			metrics.livez.inc({ code: ok ? '200' : '503' });
			return { status: ok ? 200 : 503, body };
		},
		'/readyz': () => {
			const body = readiness();
			return { status: body.synced && body.attached ? 200 : 503, body };
		},
	};
}

/**
 * /metrics and /proxyMode, which tools query on kube-proxy's port, and /statusz as JSON for people.
 *
 * @param status content for `maglane status`
 */
export function metricsRoutes(metrics: AgentMetrics, status: () => unknown): Record<string, Route> {
	return {
		'/metrics': async () => ({
			status: 200,
			body: await metrics.registry.metrics(),
			type: metrics.registry.contentType,
		}),
		'/proxyMode': () => ({ status: 200, body: 'maglane' }),
		'/statusz': () => ({ status: 200, body: status() }),
	};
}
