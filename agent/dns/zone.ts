import type { Cidr } from '../model/cidr.ts';
import type { EndpointSource } from '../model/types.ts';
import { mergeRecords } from './merge-records.ts';
import { type NameRecords, NO_RECORDS } from './record.ts';
import type { DnsService } from './service.ts';
import { endpointRecords, type RecordSet, serviceName, serviceRecords } from './service-records.ts';

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

/** What a Service, or one of its endpoint objects, has put into the zone, and from what it was made. */
interface Part extends RecordSet {
	readonly service: DnsService;
	/** Of a headless Service. */
	readonly source: EndpointSource | undefined;
}

/** A name, with what each part says of it. */
interface Entry {
	readonly parts: Set<NameRecords>;
	/** All of it together; made when it is asked for. */
	merged: NameRecords | undefined;
}

/**
 * All names of a cluster. A change of a Service or of an endpoint object costs as much as that object has names: no other
 * name is looked at, not even those of the Service's other endpoint objects.
 */
export class Zone {
	readonly name: string;
	/** Name of the name server. */
	readonly server: string;
	readonly reverse: readonly Cidr[];
	serial: number;
	readonly #now: () => number;
	readonly #names = new Map<string, Entry>();
	/** Names that are there only because others are below them: how many, directly. */
	readonly #below = new Map<string, number>();
	/** Text of an address -> its names, and how many parts say so. */
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

	/** How many names there are. */
	get size(): number {
		return this.#names.size;
	}

	/** @returns undefined when there is no such name */
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
	 * @param service undefined: it is gone
	 * @param sources its endpoint objects; one that is the same object as at the last call has not changed
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
}
