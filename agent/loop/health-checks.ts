import type { EndpointGroup } from '../model/types.ts';
import type { Store } from './store.ts';

/** Local endpoints of a Service with a healthCheckNodePort. */
export interface HealthCheckService {
	readonly service: string;
	readonly port: number;
	readonly localEndpoints: number;
}

/**
 * Answers of the healthCheckNodePorts of Services with externalTrafficPolicy Local: the number of
 * ready endpoints on this node (pkg/proxy/healthcheck). Terminating ones do not count (KEP-1669).
 */
export function healthChecks(store: Store): HealthCheckService[] {
	const checks: HealthCheckService[] = [];
	for (const service of store.services.values()) {
		if (service.healthCheckNodePort === 0 || !service.externalLocal || !service.served) continue;
		const sources = store.sources(service.key).filter(({ served }) => served);
		const groups = sources.flatMap((source) => source.groups);
		const localEndpoints = localReady(groups, store.node.name);
		checks.push({ service: service.key, port: service.healthCheckNodePort, localEndpoints });
	}
	return checks;
}

/**
 * A pod of a dual-stack Service has an address in each family but is one endpoint. So the family
 * with more endpoints counts.
 */
function localReady(groups: readonly EndpointGroup[], node: string): number {
	const ready = groups
		.filter(({ ports }) => ports.length > 0)
		.flatMap(({ endpoints }) => endpoints.filter((e) => e.ready && e.node === node));
	const count = (family: 4 | 6) =>
		new Set(ready.filter(({ ip }) => ip.family === family).map(({ ip }) => ip.text)).size;
	return Math.max(count(4), count(6));
}
