import type { Store } from './store.ts';

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
		const local = groups.flatMap((g) => g.endpoints.filter((e) => e.ready && e.node === store.node.name));
		const localEndpoints = new Set(local.map((e) => e.ip.text)).size;
		checks.push({ service: service.key, port: service.healthCheckNodePort, localEndpoints });
	}
	return checks;
}
