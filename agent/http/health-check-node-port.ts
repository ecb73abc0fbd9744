import http from 'node:http';

/** What the healthCheckNodePort of one Service says. */
export interface ServiceHealth {
	/** namespace/name */
	readonly service: string;
	readonly port: number;
	readonly localEndpoints: number;
}

export interface ServiceHealthLog {
	info(fields: object, event: string): void;
	warn(fields: object, event: string): void;
}

interface Listener {
	readonly server: http.Server;
	health: ServiceHealth;
}

/**
 * One server for each Service with externalTrafficPolicy Local (KEP-27, pkg/proxy/healthcheck/service_health.go): it
 * tells load balancers whether this node has an endpoint of the Service.
 */
export class HealthCheckNodePorts {
	readonly #listeners = new Map<number, Listener>();
	/** Ports that could not be bound: told once, tried at each update. */
	readonly #refused = new Set<number>();
	readonly #healthy: () => boolean;
	readonly #log: ServiceHealthLog;

	/** @param healthy whether the agent itself keeps up, as /livez says */
	constructor(healthy: () => boolean, log: ServiceHealthLog) {
		this.#healthy = healthy;
		this.#log = log;
	}

	/** Ports that are served. */
	get ports(): number[] {
		return [...this.#listeners.keys()].sort((a, b) => a - b);
	}

	/** Makes the servers those of `wanted`; of two Services with the same port the first has it. */
	update(wanted: readonly ServiceHealth[]): void {
		const byPort = new Map<number, ServiceHealth>();
		for (const health of wanted) if (!byPort.has(health.port)) byPort.set(health.port, health);
		for (const [port, { server }] of this.#listeners) {
			if (byPort.has(port)) continue;
			this.#listeners.delete(port);
			server.close();
			server.closeAllConnections();
		}
		for (const [port, health] of byPort) {
			const listener = this.#listeners.get(port);
			if (listener) listener.health = health;
			else this.#listen(health);
		}
	}

	close(): void {
		this.update([]);
	}

	#listen(health: ServiceHealth): void {
		const { port, service } = health;
		const server = http.createServer((request, response) => {
			const current = this.#listeners.get(port)?.health ?? health;
			this.#answer(request, response, current);
		});
		server.headersTimeout = 5_000;
		this.#listeners.set(port, { server, health });
		server.on('error', (error) => {
			if (this.#listeners.get(port)?.server === server) this.#listeners.delete(port);
			if (this.#refused.has(port)) return;
			this.#refused.add(port);
			this.#log.warn({ service, port, error: error.message }, 'health-check-node-port.failed');
		});
		server.listen(port, () => {
			this.#refused.delete(port);
			this.#log.info({ service, port }, 'health-check-node-port.listening');
		});
	}

	#answer(request: http.IncomingMessage, response: http.ServerResponse, health: ServiceHealth): void {
		const slash = health.service.indexOf('/');
		const serviceProxyHealthy = this.#healthy();
		const ok = health.localEndpoints > 0 && serviceProxyHealthy;
		const body = JSON.stringify({
			service: { namespace: health.service.slice(0, slash), name: health.service.slice(slash + 1) },
			localEndpoints: health.localEndpoints,
			serviceProxyHealthy,
		});
		response.writeHead(ok ? 200 : 503, {
			'content-type': 'application/json',
			'x-content-type-options': 'nosniff',
			'x-load-balancing-endpoint-weight': String(health.localEndpoints),
		});
		response.end(request.method === 'HEAD' ? undefined : body);
	}
}
