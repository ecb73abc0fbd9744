import type { Cidr } from '../model/cidr.ts';
import type { EndpointSource } from '../model/types.ts';
import { mergeRecords } from './merge-records.ts';
import { type NameRecords, NO_RECORDS } from './record.ts';
import type { DnsService } from './service.ts';
import { endpointRecords, type RecordSet, serviceName, serviceRecords } from './service-records.ts';

/** Implemented version of the Kubernetes DNS specification. */
const SCHEMA = '1.1.0';

export interface ZoneOptions {
	/** `cluster.local` */
	readonly name: string;
	/** namespace/name of the Service of the cluster's DNS, which is the zone's name server. */
	readonly server: string;
	/**
	 * Ranges that this server is authoritative for; other servers may know names of other addresses.
	 */
	readonly reverse: readonly Cidr[];
	/** Seconds since 1970. The zone's serial is the time of its last change. */
	readonly now?: () => number;
}

/** Records of a Service or of one of its endpoint objects, with their source objects. */
interface Part extends RecordSet {
	readonly service: DnsService;
	/** Only for a headless Service. */
	readonly source: EndpointSource | undefined;
}

/** A name, with the records of each part. */
interface Entry {
	readonly parts: Set<NameRecords>;
	/** Merged records of all parts; computed on demand. */
	merged: NameRecords | undefined;
}

/**
 * All names of a cluster. The cost of an update depends only on the names of the changed object,
 * not on other objects of its Service.
 */
export class Zone {
	readonly name: string;
	/** Name of the name server. */
	readonly server: string;
	readonly reverse: readonly Cidr[];
	serial: number;
	readonly #now: () => number;
	readonly #names = new Map<string, Entry>();
	/** By name, the number of direct children. A name with children exists without records too. */
	readonly #below = new Map<string, number>();
	/** Text of an address -> its names, with the number of parts that have them. */
	readonly #addresses = new Map<string, Map<string, number>>();
	readonly #namespaces = new Set<string>();
	/** By Service, then by endpoint object; '' is the Service itself. */
	readonly #parts = new Map<string, ReadonlyMap<string, Part>>();

	constructor({ name, server, reverse, now = () => Math.floor(Date.now() / 1000) }: ZoneOptions) {
		this.name = name.toLowerCase();
		const [namespace = '', service = ''] = server.split('/');
		this.server = serviceName({ namespace, name: service }, this.name);
		this.reverse = reverse;
		this.#now = now;
		this.serial = now();
		this.#addName(this.name, NO_RECORDS);
		this.#addName(`svc.${this.name}`, NO_RECORDS);
		this.#addName(`dns-version.${this.name}`, { ...NO_RECORDS, text: SCHEMA });
	}

	/** Number of names with records. */
	get size(): number {
		return this.#names.size;
	}

	/** @returns undefined when the name does not exist */
	find(name: string): NameRecords | undefined {
		const entry = this.#names.get(name);
		if (!entry) return this.#below.has(name) ? NO_RECORDS : undefined;
		entry.merged ??= mergeRecords([...entry.parts]);
		return entry.merged;
	}

	/** Names of an address, by its text. */
	namesOf(address: string): readonly string[] {
		return [...(this.#addresses.get(address)?.keys() ?? [])];
	}

	setNamespace(namespace: string, exists: boolean): void {
		if (this.#namespaces.has(namespace) === exists) return;
		const name = `${namespace}.svc.${this.name}`;
		if (exists) {
			this.#namespaces.add(namespace);
			this.#addName(name, NO_RECORDS);
		} else {
			this.#namespaces.delete(namespace);
			this.#removeName(name, NO_RECORDS);
		}
		this.serial = this.#now();
	}

	/**
	 * @param service undefined when it was deleted
	 * @param sources its endpoint objects; an identical object counts as unchanged
	 */
	setService(key: string, service: DnsService | undefined, sources: Iterable<EndpointSource>): void {
		const before = this.#parts.get(key) ?? new Map<string, Part>();
		const after = new Map<string, Part>();
		if (service && service.kind !== 'headless') after.set('', this.#part(before.get(''), service, undefined));
		else if (service) {
			for (const source of sources)
				after.set(source.key, this.#part(before.get(source.key), service, source));
		}
		for (const [id, part] of before) if (after.get(id) !== part) this.#remove(part);
		for (const [id, part] of after) if (before.get(id) !== part) this.#add(part);
		if (after.size > 0) this.#parts.set(key, after);
		else this.#parts.delete(key);
		this.serial = this.#now();
	}

	/** @returns the same part for the same objects */
	#part(before: Part | undefined, service: DnsService, source: EndpointSource | undefined): Part {
		if (before?.service === service && before.source === source) return before;
		const records = source ? endpointRecords(service, source, this.name) : serviceRecords(service, this.name);
		return { names: records.names, reverse: records.reverse, service, source };
	}

	#add({ names, reverse }: RecordSet): void {
		for (const [name, records] of names) this.#addName(name, records);
		for (const [address, owners] of reverse) {
			const known = this.#addresses.get(address) ?? new Map<string, number>();
			for (const name of owners) known.set(name, (known.get(name) ?? 0) + 1);
			this.#addresses.set(address, known);
		}
	}

	#remove({ names, reverse }: RecordSet): void {
		for (const [name, records] of names) this.#removeName(name, records);
		for (const [address, owners] of reverse) {
			const known = this.#addresses.get(address)!;
			for (const name of owners) {
				const count = known.get(name)! - 1;
				if (count === 0) known.delete(name);
				else known.set(name, count);
			}
			if (known.size === 0) this.#addresses.delete(address);
		}
	}

	#addName(name: string, records: NameRecords): void {
		const entry = this.#names.get(name);
		if (entry) {
			entry.parts.add(records);
			entry.merged = undefined;
			return;
		}
		this.#names.set(name, { parts: new Set([records]), merged: undefined });
		this.#count(name, 1);
	}

	#removeName(name: string, records: NameRecords): void {
		const entry = this.#names.get(name)!;
		entry.parts.delete(records);
		entry.merged = undefined;
		if (entry.parts.size > 0) return;
		this.#names.delete(name);
		this.#count(name, -1);
	}

	/**
	 * Updates the child count of the parent. When the parent thereby begins or ceases to exist,
	 * continues with its own parent.
	 */
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
}
