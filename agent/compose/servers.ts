import type { Clock } from '../base/clock.ts';
import { Health } from '../http/health.ts';
import { HealthCheckNodePorts, type ServiceHealth } from '../http/health-check-node-port.ts';
import type { AgentMetrics } from '../http/metrics.ts';
import { healthRoutes, metricsRoutes } from '../http/routes.ts';
import { type RunningServer, serve } from '../http/server.ts';
import type { ServiceEvent } from '../kube/events.ts';
import type { Reconciler } from '../loop/reconcile.ts';
import type { AgentOptions } from './options.ts';
import { agentStatus, type Parts } from './views.ts';

/** Interval of updates of the healthCheckNodePorts, ms. Load balancers probe every few seconds. */
const HEALTH_CHECK_MS = 1_000;

/**
 * Starts an agent's servers for health, metrics and healthCheckNodePorts.
 *
 * @param syncs number of syncs: healthCheckNodePorts are updated only when it grows
 * @param ends gets the functions that close the servers, even if a later one fails
 * @throws Error that names the address and the flag when the address cannot be bound
 */
export async function startServers(
	options: AgentOptions,
	parts: Parts & {
		readonly reconciler: Reconciler;
		readonly metrics: AgentMetrics;
		readonly tell: (event: ServiceEvent) => void;
	},
	syncs: () => number,
	ends: AsyncDisposableStack,
): Promise<void> {
	const { config, dataplane, log, clock } = options;
	const { reconciler, metrics } = parts;
	const health = readHealth(reconciler, clock);
	const readiness = () => {
		const { synced, lastSync } = reconciler.snapshot();
		return { synced: synced && lastSync !== undefined, attached: dataplane.status().attachments.length > 0 };
	};
	const onError = (error: unknown): void => log.error({ err: error }, 'http.failed');
	const servers: { health?: RunningServer; metrics?: RunningServer } = {};
	if (config.healthAddress) {
		const routes = healthRoutes(health, readiness, metrics);
		servers.health = await serve(config.healthAddress, routes, '--health-address', onError);
		ends.adopt(servers.health, (server) => server.close());
	}
	if (config.metricsAddress) {
		const routes = metricsRoutes(metrics, () => agentStatus(options, parts));
		servers.metrics = await serve(config.metricsAddress, routes, '--metrics-address', onError);
		ends.adopt(servers.metrics, (server) => server.close());
	}
	const servicesHealth = new HealthCheckNodePorts(
		() => health.live().ok,
		log.child({ part: 'http' }),
		(refused, error) => parts.tell(refusal(config.nodeName, refused, error)),
	);
	ends.defer(serveHealthChecks(clock, reconciler, syncs, servicesHealth));
	options.started?.(servers);
}

/** Reads the reconciler at each request. */
function readHealth(reconciler: Reconciler, clock: Clock): Health {
	return new Health({
		pendingMs() {
			const { synced, pendingSince } = reconciler.snapshot();
			return synced && pendingSince !== undefined ? clock.now() - pendingSince : undefined;
		},
		sinceAppliedMs() {
			const last = reconciler.snapshot().lastSync;
			return last && clock.now() - last.at;
		},
		eligible: () => !reconciler.snapshot().nodeLeaving,
	});
}

/** Same text as in kube-proxy. */
function refusal(node: string, { service, port }: ServiceHealth, error: Error): ServiceEvent {
	const message = `node ${node} failed to start healthcheck "${service}" on port ${port}: ${error.message}`;
	return { service, reason: 'FailedToStartServiceHealthcheck', action: 'Listen', message };
}

/** Updates the servers until it is stopped. @returns a function that stops it */
function serveHealthChecks(
	clock: Clock,
	reconciler: Reconciler,
	syncs: () => number,
	servers: HealthCheckNodePorts,
): () => void {
	let cancel = (): void => {};
	let seen = 0;
	const update = (): void => {
		if (syncs() !== seen || servers.incomplete)
			servers.update(reconciler.healthChecks(), reconciler.healthCheckAddresses());
		seen = syncs();
		cancel = clock.after(HEALTH_CHECK_MS, update);
	};
	update();
	return () => {
		cancel();
		servers.close();
	};
}
