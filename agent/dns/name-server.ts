/**
 * Serves the names of a cluster in a process that already has all its objects, as the standalone
 * control plane does.
 */
import type { Log } from '../base/log.ts';
import { parseEndpointSlice } from '../model/endpoints.ts';
import type { EndpointSource } from '../model/types.ts';
import type { ListenAddress, Sockets } from './address.ts';
import { Resolver } from './resolver.ts';
import { DnsServer } from './server.ts';
import { parseDnsService } from './service.ts';
import { Zone, type ZoneOptions } from './zone.ts';

export interface NameServerOptions {
	readonly zone: ZoneOptions;
	readonly log: Log;
	/** @returns a function that cancels */
	readonly after: (ms: number, run: () => void) => () => void;
}

/** Addresses to serve and their network, such as a network namespace. */
export interface Place {
	readonly addresses: readonly ListenAddress[];
	/**
	 * Creates the sockets. Absent: this process's network. @throws the system's error; the server
	 * retries
	 */
	readonly sockets?: (address: ListenAddress) => Sockets;
}

/** Refuses names outside the cluster zone. */
export class NameServer {
	readonly #options: NameServerOptions;
	readonly #zone: Zone;
	/** Service to its slices. */
	readonly #slices = new Map<string, Map<string, EndpointSource>>();
	readonly #services = new Map<string, ReturnType<typeof parseDnsService>>();
	/** Slice to its last Service. */
	readonly #owners = new Map<string, string>();
	readonly #servers: DnsServer[] = [];

	constructor(options: NameServerOptions) {
		this.#options = options;
		this.#zone = new Zone(options.zone);
	}

	setNamespace(name: string, exists: boolean): void {
		this.#zone.setNamespace(name, exists);
	}

	/** @param object a Service (core/v1); undefined when it was deleted */
	setService(key: string, object: unknown): void {
		if (object === undefined) this.#services.delete(key);
		else this.#services.set(key, parseDnsService(object, key));
		this.#name(key);
	}

	/** @param object an EndpointSlice (discovery.k8s.io/v1); undefined when it was deleted */
	setSlice(key: string, object: unknown): void {
		const source = object === undefined ? undefined : parseEndpointSlice(object, key).value;
		const before = this.#owners.get(key);
		const owner = source?.service;
		if (before !== undefined && before !== owner) {
			this.#slices.get(before)?.delete(key);
			if (this.#slices.get(before)?.size === 0) this.#slices.delete(before);
			this.#name(before);
		}
		if (source === undefined || owner === undefined) {
			this.#owners.delete(key);
			return;
		}
		this.#owners.set(key, owner);
		const slices = this.#slices.get(owner) ?? new Map<string, EndpointSource>();
		this.#slices.set(owner, slices.set(key, source));
		this.#name(owner);
	}

	/** Resolves when each address was tried once. */
	async serve(places: readonly Place[]): Promise<void> {
		const { log, after } = this.#options;
		const resolver = new Resolver({ zone: this.#zone, synced: () => true });
		await Promise.all(
			places.map(({ addresses, sockets }) => {
				const changed = () => {};
				const server = new DnsServer({ resolver, log, after, changed, ...(sockets && { sockets }) });
				this.#servers.push(server);
				return server.setAddresses(addresses);
			}),
		);
	}

	/** Addresses that the server answers at. */
	get addresses(): ListenAddress[] {
		return this.#servers.flatMap((server) => server.addresses);
	}

	async close(): Promise<void> {
		await Promise.all(this.#servers.splice(0).map((server) => server.close()));
	}

	#name(service: string): void {
		this.#zone.setService(service, this.#services.get(service), this.#slices.get(service)?.values() ?? []);
	}
}
