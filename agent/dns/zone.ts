import type { Cidr } from '../model/cidr.ts';
import type { EndpointSource } from '../model/types.ts';
import { type NameRecords, NO_RECORDS } from './record.ts';
import type { DnsService } from './service.ts';
import { type ServiceRecords, serviceName, serviceRecords } from './service-records.ts';

/** Version of the Kubernetes DNS specification that is kept to. */
const SCHEMA = '1.1.0';

export interface ZoneOptions {
	/** `cluster.local` */
	readonly name: string;
	/** namespace/name of the Service by which the cluster's DNS is reached: the zone's name server. */
	readonly server: string;
	/** Addresses of which we say that they have no name; for others, someone else may know one. */
	readonly reverse: readonly Cidr[];
	/** Seconds since 1970: the zone's serial is that of its last change. */
	readonly now?: () => number;
}

/**
 * All names of a cluster. A change of a Service, or of its endpoints, costs as much as that Service has names: no other
 * name is looked at.
 */
export class Zone {
	readonly name: string;
	/** Name of the name server. */
	readonly server: string;
	readonly reverse: readonly Cidr[];
	serial: number;
	readonly #now: () => number;
	readonly #names = new Map<string, NameRecords>();
	/** Names that are there only because others are below them: how many, directly. */
	readonly #below = new Map<string, number>();
	readonly #addresses = new Map<string, Set<string>>();
	readonly #services = new Map<string, ServiceRecords>();

	constructor({ name, server, reverse, now = () => Math.floor(Date.now() / 1000) }: ZoneOptions) {
		this.name = name.toLowerCase();
		const [namespace = '', service = ''] = server.split('/');
		this.server = serviceName({ namespace, name: service }, this.name);
		this.reverse = reverse;
		this.#now = now;
		this.serial = now();
		this.#set(this.name, NO_RECORDS);
		this.#set(`svc.${this.name}`, NO_RECORDS);
		this.#set(`dns-version.${this.name}`, { ...NO_RECORDS, text: SCHEMA });
	}

	/** How many names there are. */
	get size(): number {
		return this.#names.size;
	}

	/** @returns undefined when there is no such name */
	find(name: string): NameRecords | undefined {
		return this.#names.get(name) ?? (this.#below.has(name) ? NO_RECORDS : undefined);
	}

	/** Names of an address, by its text. */
	namesOf(address: string): readonly string[] {
		return [...(this.#addresses.get(address) ?? [])];
	}

	setNamespace(namespace: string, exists: boolean): void {
		this.#set(`${namespace}.svc.${this.name}`, exists ? NO_RECORDS : undefined);
		this.serial = this.#now();
	}

	/** @param service undefined: it is gone */
	setService(key: string, service: DnsService | undefined, sources: Iterable<EndpointSource>): void {
		const before = this.#services.get(key);
		const after = service && serviceRecords(service, sources, this.name);
		for (const name of before?.names.keys() ?? []) if (!after?.names.has(name)) this.#set(name, undefined);
		for (const [name, records] of after?.names ?? []) this.#set(name, records);
		for (const [address, names] of before?.reverse ?? []) this.#forget(address, names);
		for (const [address, names] of after?.reverse ?? []) this.#remember(address, names);
		if (after) this.#services.set(key, after);
		else this.#services.delete(key);
		this.serial = this.#now();
	}

	#set(name: string, records: NameRecords | undefined): void {
		const had = this.#names.has(name);
		if (records) this.#names.set(name, records);
		else this.#names.delete(name);
		if (had === (records === undefined)) this.#count(name, records ? 1 : -1);
	}

	/** A name that comes or goes counts at its parent, which may thereby come or go itself, and so on. */
	#count(child: string, step: 1 | -1): void {
		let changed = !this.#below.has(child);
		for (let name = child; changed && name !== this.name; ) {
			name = name.slice(name.indexOf('.') + 1);
			const count = (this.#below.get(name) ?? 0) + step;
			if (count === 0) this.#below.delete(name);
			else this.#below.set(name, count);
			changed = !this.#names.has(name) && count === (step === 1 ? 1 : 0);
		}
	}

	#remember(address: string, names: readonly string[]): void {
		const known = this.#addresses.get(address) ?? new Set();
		for (const name of names) known.add(name);
		this.#addresses.set(address, known);
	}

	#forget(address: string, names: readonly string[]): void {
		const known = this.#addresses.get(address);
		for (const name of names) known?.delete(name);
		if (known?.size === 0) this.#addresses.delete(address);
	}
}
