import type http from 'node:http';
import type { Log } from '../base/log.ts';
import { boundedServer } from './connections.ts';

/** Answer of the healthCheckNodePort of one Service. */
export interface ServiceHealth {
	/** namespace/name */
	readonly service: string;
	readonly port: number;
	readonly localEndpoints: number;
}

/** Called once for each port that cannot be bound. */
export type Refused = (health: ServiceHealth, error: Error) => void;

interface Listener {
	readonly server: http.Server;
	health: ServiceHealth;
}

/** Listen address of a server; without a host, all addresses of both families. */
interface Place {
	readonly host: string | undefined;
	readonly port: number;
}

/**
 * Serves the healthCheckNodePort of each Service with externalTrafficPolicy Local (KEP-27,
 * pkg/proxy/healthcheck/service_health.go), at each NodePort address of the node. It reports to
 * load balancers whether this node has an endpoint of the Service.
 */
export class HealthCheckNodePorts {
	/** By place, as text. */
	readonly #listeners = new Map<string, Listener>();
	/** Places that could not be bound: reported once, retried at each update. */
	readonly #refused = new Set<string>();
	readonly #healthy: () => boolean;
	readonly #log: Log;
	readonly #tell: Refused;

	/** @param healthy whether the agent itself is healthy, as in /livez */
	constructor(healthy: () => boolean, log: Log, tell: Refused = () => {}) {
		this.#healthy = healthy;
		this.#log = log;
		this.#tell = tell;
	}

	/** Served ports. */
	get ports(): number[] {
		const ports = [...this.#listeners.values()].map(({ health }) => health.port);
		return [...new Set(ports)].sort((a, b) => a - b);
	}

	/** Whether a wanted place could not be bound. */
	get incomplete(): boolean {
		return this.#refused.size > 0;
	}

	/**
	 * Starts and stops servers to match `wanted`. The first of two Services with the same port gets
	 * it.
	 *
	 * @param hosts addresses to listen at; undefined: all
	 */
	update(wanted: readonly ServiceHealth[], hosts?: readonly string[]): void {
		const places = new Map<string, { readonly place: Place; readonly health: ServiceHealth }>();
		for (const health of wanted) {
			for (const host of hosts ?? [undefined]) {
				const place = { host, port: health.port };
				if (!places.has(textOf(place))) places.set(textOf(place), { place, health });
			}
		}
		for (const key of this.#refused) if (!places.has(key)) this.#refused.delete(key);
		for (const [key, { server }] of this.#listeners) {
			if (places.has(key)) continue;
			this.#listeners.delete(key);
			server.close();
			server.closeAllConnections();
		}
		for (const [key, { place, health }] of places) {
			const listener = this.#listeners.get(key);
			if (listener) listener.health = health;
			else this.#listen(place, health);
		}
	}

	close(): void {
		this.update([]);
	}

	#listen(place: Place, health: ServiceHealth): void {
		const key = textOf(place);
		const { service } = health;
		const server = boundedServer((request, response) => {
			const current = this.#listeners.get(key)?.health ?? health;
			this.#answer(request, response, current);
		});
		this.#listeners.set(key, { server, health });
		server.on('error', (error) => {
			// ignore errors of a server that was closed meanwhile
			if (this.#listeners.get(key)?.server !== server) return;
			this.#listeners.delete(key);
			if (this.#refused.has(key)) return;
			this.#refused.add(key);
			this.#log.warn({ service, ...place, error: error.message }, 'health-check-node-port.failed');
			this.#tell(health, error);
		});
		server.listen(place, () => {
			this.#refused.delete(key);
			this.#log.info({ service, ...place }, 'health-check-node-port.listening');
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

const textOf = ({ host = '*', port }: Place): string => `${host} ${port}`;
