import { ADDRESS_WORDS, FRONTEND_WORDS, type Frontend, type SourceRangeKey } from '../abi/layout.ts';
import type * as model from '../model/translate.ts';
import { addressBit, Bits, frontendBit } from './bits.ts';
import {
	type AddressEntry,
	addressFlags,
	adoptedName,
	type BackendEntry,
	CapacityError,
	emptyHeld,
	type FrontendEntry,
	flagsOf,
	frontendKey,
	type Held,
	sourceRangeKey,
	type TableEntry,
	type Touched,
	tableName,
} from './entries.ts';
import { IdPool } from './ids.ts';
import {
	backendKey,
	backendName,
	isValid,
	type KernelState,
	sourceRangeName,
	tableChunks,
} from './kernel.ts';
import { type Limits, sizeFor } from './limits.ts';
import { tableParts } from './table-content.ts';
import { TableSpace } from './table-space.ts';

/**
 * Desired content of the maps. place() and remove() change one Service each; collect() removes
 * unused entries. The image takes over ids and table places from a kernel that has them.
 */
export class Image {
	readonly frontends = new Map<string, FrontendEntry>();
	readonly backendsById = new Map<number, BackendEntry>();
	readonly tables = new Map<string, TableEntry>();
	readonly tablesByRef = new Map<number, TableEntry>();
	readonly addresses = new Map<string, AddressEntry>();
	readonly addressBits = new Bits(ADDRESS_WORDS);
	readonly frontendBits = new Bits(FRONTEND_WORDS);
	readonly sourceRanges = new Map<string, SourceRangeKey>();
	readonly touched: Touched = {
		frontends: new Set(),
		backends: new Set(),
		tables: new Set(),
		addresses: new Set(),
		sourceRanges: new Set(),
	};
	readonly space: TableSpace;
	readonly #limits: Limits;
	/** By id of the Service port, then by address, port and protocol. */
	readonly #backends = new Map<number, Map<string, BackendEntry>>();
	readonly #backendIds: IdPool;
	readonly #serviceIds = new IdPool(2 ** 32);
	/** By address, port and protocol: number of Service ports that have the endpoint. */
	readonly #endpointUsers = new Map<string, number>();
	readonly #portUsers = new Map<string, number>();
	readonly #portNames = new Map<number, string>();
	readonly #held = new Map<string, Held>();
	/** Until the first collect(): ids of Service ports by frontend, as in the kernel. */
	readonly #adopted = new Map<string, number>();
	/** Entries that may be unused at the next collect(). */
	readonly #idle = {
		/** By {@link backendKey}. */
		backends: new Map<string, { readonly serviceId: number; readonly name: string }>(),
		tables: new Set<string>(),
		ports: new Set<string>(),
	};

	constructor(limits: Limits) {
		this.#limits = limits;
		this.#backendIds = new IdPool(limits.backends);
		this.space = new TableSpace(limits.chunks, limits.segments);
	}

	/** Takes over the kernel's ids and table places. The image must be empty. */
	adopt(kernel: KernelState): void {
		for (const [id, value] of kernel.backends) {
			if (!isValid(value)) continue;
			const { serviceId } = value;
			const name = backendName(value);
			const key = backendKey(name, serviceId);
			this.#backendIds.seed(key, id);
			this.#idle.backends.set(key, { serviceId, name });
			this.#serviceIds.seed(adoptedName(value.serviceId), value.serviceId);
		}
		for (const [name, { value }] of kernel.frontends) {
			this.#adopted.set(name, value.serviceId);
			this.#serviceIds.seed(adoptedName(value.serviceId), value.serviceId);
		}
		for (const [ref, { size, content }] of [...kernel.tables].sort(([a], [b]) => a - b)) {
			const parts = content && tableParts(content, size, kernel.backends);
			if (!parts || !this.space.reserve(ref, tableChunks(size, parts.backends.length))) continue;
			const name = tableName(parts.serviceId, size, parts.backends);
			if (this.tables.has(name)) this.space.release(ref, tableChunks(size, parts.backends.length));
			else this.#addTable({ name, ref, size, ...parts, users: 0 });
			this.#idle.tables.add(name);
		}
	}

	/** Name of the Service port with this id, for people. */
	serviceName(id: number): string | undefined {
		return this.#portNames.get(id);
	}

	/** @param name `10.0.0.1:80/tcp` */
	backendOf(serviceId: number, name: string): BackendEntry | undefined {
		return this.#backends.get(serviceId)?.get(name);
	}

	/** Whether some Service port has this endpoint, `10.0.0.1:80/tcp`. */
	hasEndpoint(name: string): boolean {
		return this.#endpointUsers.has(name);
	}

	frontendsOf(service: string): ReadonlyMap<string, FrontendEntry> {
		return this.#held.get(service)?.frontends ?? new Map();
	}

	/**
	 * Adds a Service, or replaces it.
	 * @param owns whether it owns a claim
	 * @throws CapacityError and leaves the Service unchanged
	 */
	place(service: model.Translation, owns: (claim: string) => boolean, now: number): void {
		const held = emptyHeld();
		try {
			this.#take(service, owns, held, now);
		} catch (error) {
			this.#give(held);
			throw error;
		}
		const before = this.#held.get(service.key);
		this.#held.set(service.key, held);
		for (const [name, entry] of held.frontends) {
			if (!this.frontends.has(name)) this.frontendBits.add(frontendBit(entry.key));
			this.frontends.set(name, entry);
			this.touched.frontends.add(name);
		}
		for (const [name, key] of held.sourceRanges) {
			this.sourceRanges.set(name, key);
			this.touched.sourceRanges.add(name);
		}
		for (const [ip, { addr, flags }] of held.addresses) this.#say(ip, addr, service.key, flags);
		if (before) this.#drop(service.key, before, held);
	}

	remove(service: string): void {
		const before = this.#held.get(service);
		this.#held.delete(service);
		if (before) this.#drop(service, before, emptyHeld());
	}

	/** Removes unused entries. Call it after all changes of a sync. */
	collect(): void {
		for (const name of this.#idle.tables) {
			const table = this.tables.get(name);
			if (!table || table.users > 0) continue;
			this.tables.delete(name);
			this.tablesByRef.delete(table.ref);
			this.space.release(table.ref, tableChunks(table.size, table.backends.length));
		}
		for (const [key, { serviceId, name }] of this.#idle.backends) {
			const entry = this.backendOf(serviceId, name);
			if (entry && entry.users > 0) continue;
			this.#backendIds.release(key);
			if (entry) this.#removeBackend(entry);
		}
		for (const port of this.#idle.ports) {
			if (this.#portUsers.has(port)) continue;
			this.#serviceIds.release(port);
		}
		for (const names of Object.values(this.#idle)) names.clear();
		this.#adopted.clear();
	}

	/** The kernel has acknowledged all changes. */
	settle(now: number): void {
		for (const names of Object.values(this.touched)) names.clear();
		this.#backendIds.settle(now);
		this.#serviceIds.settle(now);
		this.space.settle(now);
	}

	#take(service: model.Translation, owns: (claim: string) => boolean, held: Held, now: number): void {
		const own = service.frontends.filter((frontend) => owns(frontend.claim));
		// adopts the ids of the kernel's frontends before any backend acquires one
		const ids = own.map((frontend) => this.#takeFrontendsPort(frontend, held, now));
		const backends = new Set([...service.kept, ...own.flatMap((frontend) => frontend.backends)]);
		for (const backend of backends) held.backends.push(this.#takeBackend(backend, held, now));
		const tables = new Map<string, TableEntry>();
		for (const [i, frontend] of own.entries()) {
			const name = `${frontend.claim} ${frontend.scope}`;
			const value = this.#frontendValue(frontend, ids[i]!, tables, held, now);
			held.frontends.set(name, { key: frontendKey(frontend), value, owner: service.key });
			for (const range of frontend.sources ?? []) {
				const key = sourceRangeKey(value.serviceId, range);
				held.sourceRanges.set(sourceRangeName(key), key);
			}
			if (!frontend.closed) continue;
			const address = held.addresses.get(frontend.ip.text) ?? { addr: frontend.ip.bytes, flags: 0 };
			address.flags |= addressFlags(frontend);
			held.addresses.set(frontend.ip.text, address);
		}
	}

	#frontendValue(
		frontend: model.Frontend,
		serviceId: number,
		tables: Map<string, TableEntry>,
		held: Held,
		now: number,
	): Frontend {
		const size = sizeFor(frontend, this.#limits);
		const backends = frontend.backends.map((b) => b.key);
		const name = tableName(serviceId, size, backends);
		let table = tables.get(name);
		if (!table && size > 0) {
			table = this.#takeTable({ name, serviceId, size, backends }, now);
			tables.set(name, table);
			held.tables.push(table);
		}
		return {
			serviceId,
			flags: flagsOf(frontend),
			table: table?.ref ?? 0,
			tableSize: size,
			backends: frontend.backends.length,
			affinitySeconds: frontend.affinitySeconds,
		};
	}

	#takeBackend(backend: model.Backend, held: Held, now: number): Held['backends'][number] {
		const serviceId = this.#takePort(backend.portKey, held, now);
		let entry = this.backendOf(serviceId, backend.key);
		if (!entry) {
			const id = this.#backendIds.acquire(backendKey(backend.key, serviceId), now);
			if (id === undefined) throw new CapacityError(`no id is left for backend ${backend.key}`);
			entry = { id, backend, serviceId, users: 0, localUsers: 0 };
			this.#addBackend(entry);
		}
		entry.users += 1;
		if (backend.local && entry.localUsers++ === 0) this.touched.backends.add(entry.id);
		return { entry, local: backend.local };
	}

	#addBackend(entry: BackendEntry): void {
		const { id, serviceId, backend } = entry;
		const own = this.#backends.get(serviceId) ?? new Map<string, BackendEntry>();
		this.#backends.set(serviceId, own.set(backend.key, entry));
		this.backendsById.set(id, entry);
		this.#countEndpoint(backend.key, 1);
		this.touched.backends.add(id);
	}

	#removeBackend({ id, serviceId, backend }: BackendEntry): void {
		const own = this.#backends.get(serviceId)!;
		own.delete(backend.key);
		if (own.size === 0) this.#backends.delete(serviceId);
		this.backendsById.delete(id);
		this.#countEndpoint(backend.key, -1);
		this.touched.backends.add(id);
	}

	#countEndpoint(name: string, by: 1 | -1): void {
		const users = (this.#endpointUsers.get(name) ?? 0) + by;
		if (users > 0) this.#endpointUsers.set(name, users);
		else this.#endpointUsers.delete(name);
	}

	#takeTable(wanted: Omit<TableEntry, 'ref' | 'users'>, now: number): TableEntry {
		const { name, size, backends } = wanted;
		const found = this.tables.get(name);
		if (found) {
			// an adopted table may have drifted
			if (found.users++ === 0) this.touched.tables.add(found.ref);
			return found;
		}
		if (backends.length > size)
			throw new CapacityError(`${backends.length} backends need more than ${size} slots`);
		const ref = this.space.allocate(tableChunks(size, backends.length), now);
		if (ref === undefined) throw new CapacityError(`no memory is left for a table of ${size} slots`);
		const table = { ...wanted, ref, users: 1 };
		this.#addTable(table);
		this.touched.tables.add(ref);
		return table;
	}

	#addTable(table: TableEntry): void {
		this.tables.set(table.name, table);
		this.tablesByRef.set(table.ref, table);
	}

	/** A frontend that the kernel has keeps the id of its Service port. */
	#takeFrontendsPort(frontend: model.Frontend, held: Held, now: number): number {
		const key = frontend.portKey;
		const adopted = this.#adopted.get(`${frontend.claim} ${frontend.scope}`);
		if (adopted !== undefined && !this.#serviceIds.has(key))
			this.#serviceIds.rename(adoptedName(adopted), key);
		return this.#takePort(key, held, now);
	}

	#takePort(key: string, held: Held, now: number): number {
		const id = this.#serviceIds.acquire(key, now);
		if (id === undefined) throw new CapacityError(`no id is left for Service port ${key}`);
		this.#portNames.set(id, key);
		if (!held.ports.has(key)) this.#portUsers.set(key, (this.#portUsers.get(key) ?? 0) + 1);
		held.ports.add(key);
		return id;
	}

	/**
	 * Sets a Service's flags of an address.
	 * @param flags undefined: the Service no longer has the address
	 */
	#say(ip: string, addr: Uint8Array, service: string, flags: number | undefined): void {
		let entry = this.addresses.get(ip);
		if (!entry) {
			entry = { addr, users: new Map() };
			this.addresses.set(ip, entry);
			this.addressBits.add(addressBit(addr));
		}
		if (flags === undefined) entry.users.delete(service);
		else entry.users.set(service, flags);
		this.touched.addresses.add(ip);
		if (entry.users.size > 0) return;
		this.addresses.delete(ip);
		this.addressBits.remove(addressBit(addr));
	}

	#drop(service: string, before: Held, kept: Held): void {
		for (const [name, { key }] of before.frontends) {
			if (kept.frontends.has(name) || this.frontends.get(name)?.owner !== service) continue;
			this.frontends.delete(name);
			this.frontendBits.remove(frontendBit(key));
			this.touched.frontends.add(name);
		}
		for (const name of before.sourceRanges.keys()) {
			if (kept.sourceRanges.has(name)) continue;
			this.sourceRanges.delete(name);
			this.touched.sourceRanges.add(name);
		}
		for (const [ip, { addr }] of before.addresses) {
			if (!kept.addresses.has(ip)) this.#say(ip, addr, service, undefined);
		}
		this.#give(before);
	}

	#give(held: Held): void {
		for (const { entry, local } of held.backends) {
			entry.users -= 1;
			if (local && --entry.localUsers === 0) this.touched.backends.add(entry.id);
			if (entry.users > 0) continue;
			const { serviceId, backend } = entry;
			this.#idle.backends.set(backendKey(backend.key, serviceId), { serviceId, name: backend.key });
		}
		for (const table of held.tables) {
			table.users -= 1;
			if (table.users === 0) this.#idle.tables.add(table.name);
		}
		for (const port of held.ports) {
			const users = this.#portUsers.get(port)! - 1;
			if (users > 0) this.#portUsers.set(port, users);
			else {
				this.#portUsers.delete(port);
				this.#idle.ports.add(port);
			}
		}
	}
}
