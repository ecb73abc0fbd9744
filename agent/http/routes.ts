import type { Health } from './health.ts';
import type { AgentMetrics } from './metrics.ts';
import type { Route } from './server.ts';

export interface Readiness {
	/** Every resource has been listed and its first image is in the kernel. */
	readonly synced: boolean;
	/** Programs that are needed are attached. */
	readonly attached: boolean;
}

/** /healthz for load balancers, /livez for the kubelet, /readyz for the DaemonSet's roll-out. */
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
 * /metrics, and what tools ask a kube-proxy on the same port: /proxyMode, and /statusz as JSON for people.
 *
 * @param status what `maglane status` shows of a running agent
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
