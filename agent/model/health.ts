import type { Store } from './store.ts';
import type { EndpointGroup } from './types.ts';

/** Local endpoints of a Service with a healthCheckNodePort. */
export interface HealthCheckService {
	readonly service: string;
	readonly port: number;
	readonly localEndpoints: number;
}

/**
 * What the healthCheckNodePorts answer: how many ready endpoints this node has (pkg/proxy/healthcheck; those that end
 * do not count, KEP-1669), for Services with external policy Local.
 */
export function healthChecks(store: Store): HealthCheckService[] {
	const checks: HealthCheckService[] = [];
	for (const service of store.services.values()) {
		if (service.healthCheckNodePort === 0 || !service.externalLocal || !service.served) continue;
		const groups = store.sources(service.key).flatMap((source) => source.groups);
		const localEndpoints = localReady(groups, store.node.name);
		checks.push({ service: service.key, port: service.healthCheckNodePort, localEndpoints });
	}
	return checks;
}

/** A pod of a dual-stack Service has an address in each family and is one endpoint: the family with more counts. */
function localReady(groups: readonly EndpointGroup[], node: string): number {
	const ready = groups
		.filter(({ ports }) => ports.length > 0)
		.flatMap(({ endpoints }) => endpoints.filter((e) => e.ready && e.node === node));
	const count = (family: 4 | 6) =>
		new Set(ready.filter(({ ip }) => ip.family === family).map(({ ip }) => ip.text)).size;
	return Math.max(count(4), count(6));
}
