import type { Frontend, SourceRangeKey } from '../abi/layout.ts';
import type * as model from '../model/translate.ts';
import { AddressBits } from './address-bits.ts';
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
import { backendName, isValid, type KernelState, sourceRangeName, tableChunks } from './kernel.ts';
import { type Limits, sizeFor } from './limits.ts';
import { contentNames } from './table-content.ts';
import { TableSpace } from './table-space.ts';

/**
 * What the maps shall hold. Services are put in one by one; entries that they share are counted, and what nobody
 * uses any more goes at collect(). Ids, and the places of tables, come from the kernel's state when it has them.
 */
export class Image {
	readonly frontends = new Map<string, FrontendEntry>();
	readonly backends = new Map<string, BackendEntry>();
	readonly backendsById = new Map<number, BackendEntry>();
	readonly tables = new Map<string, TableEntry>();
	readonly tablesByRef = new Map<number, TableEntry>();
	readonly addresses = new Map<string, AddressEntry>();
	readonly addressBits = new AddressBits();
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
	readonly #backendIds: IdPool;
	readonly #serviceIds = new IdPool(2 ** 32);
	readonly #portUsers = new Map<string, number>();
	readonly #portNames = new Map<number, string>();
	readonly #held = new Map<string, Held>();
	/** Until the first collect(): Service ids by frontend, as the kernel has them. */
	readonly #adopted = new Map<string, number>();
	/** What may be unused at the next collect(). */
	readonly #idle = { backends: new Set<string>(), tables: new Set<string>(), ports: new Set<string>() };

	constructor(limits: Limits) {
		this.#limits = limits;
		this.#backendIds = new IdPool(limits.backends);
		this.space = new TableSpace(limits.chunks, limits.segments);
	}

	/** Takes over the kernel's ids and table places. For an empty image. */
	adopt(kernel: KernelState): void {
		for (const [id, value] of kernel.backends) {
			const key = backendName(value);
			if (!isValid(value) || this.backends.has(key)) continue;
			this.#backendIds.seed(key, id);
			this.#idle.backends.add(key);
		}
		for (const [name, { value }] of kernel.frontends) {
			this.#adopted.set(name, value.serviceId);
			this.#serviceIds.seed(adoptedName(value.serviceId), value.serviceId);
		}
		for (const [ref, { size, content }] of [...kernel.tables].sort(([a], [b]) => a - b)) {
			const backends = content && contentNames(content, size, kernel.backends);
			if (!backends || !this.space.reserve(ref, tableChunks(size, backends.length))) continue;
			const name = tableName(size, backends);
			if (this.tables.has(name)) this.space.release(ref, tableChunks(size, backends.length));
			else this.#addTable({ name, ref, size, backends, users: 0 });
			this.#idle.tables.add(name);
		}
	}

	/** Id of a Service port's name, for people. */
	serviceName(id: number): string | undefined {
		return this.#portNames.get(id);
	}

	backendId(key: string): number {
		return this.backends.get(key)!.id;
	}

	frontendsOf(service: string): ReadonlyMap<string, FrontendEntry> {
		return this.#held.get(service)?.frontends ?? new Map();
	}

	/**
	 * Puts a Service in, in place of what it had. @param owns whether it may have an address
	 * @throws CapacityError and leaves it as it was
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

	/** Ends what nobody uses. Call when all changes of a sync are in. */
	collect(): void {
		for (const name of this.#idle.tables) {
			const table = this.tables.get(name);
			if (!table || table.users > 0) continue;
			this.tables.delete(name);
			this.tablesByRef.delete(table.ref);
			this.space.release(table.ref, tableChunks(table.size, table.backends.length));
		}
		for (const key of this.#idle.backends) {
			const entry = this.backends.get(key);
			if (entry && entry.users > 0) continue;
			this.#backendIds.release(key);
			if (!entry) continue;
			this.backends.delete(key);
			this.backendsById.delete(entry.id);
			this.touched.backends.add(entry.id);
		}
		for (const port of this.#idle.ports) {
			if (this.#portUsers.has(port)) continue;
			this.#serviceIds.release(port);
		}
		for (const names of Object.values(this.#idle)) names.clear();
		this.#adopted.clear();
	}

	/** Everything up to here is in the kernel. */
	settle(now: number): void {
		for (const names of Object.values(this.touched)) names.clear();
		this.#backendIds.settle(now);
		this.#serviceIds.settle(now);
		this.space.settle(now);
	}

	#take(service: model.Translation, owns: (claim: string) => boolean, held: Held, now: number): void {
		const own = service.frontends.filter((frontend) => owns(frontend.claim));
		const backends = new Map(service.kept.map((backend) => [backend.key, backend]));
		for (const frontend of own) for (const backend of frontend.backends) backends.set(backend.key, backend);
		for (const backend of backends.values()) held.backends.push(this.#takeBackend(backend, now));
		const tables = new Map<string, TableEntry>();
		for (const frontend of own) {
			const name = `${frontend.claim} ${frontend.scope}`;
			const value = this.#frontendValue(frontend, tables, held, now);
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
		tables: Map<string, TableEntry>,
		held: Held,
		now: number,
	): Frontend {
		const size = sizeFor(frontend, this.#limits);
		const name = tableName(
			size,
			frontend.backends.map((b) => b.key),
		);
		let table = tables.get(name);
		if (!table && size > 0) {
			table = this.#takeTable(name, size, frontend.backends, now);
			tables.set(name, table);
			held.tables.push(table);
		}
		return {
			serviceId: this.#takePort(frontend, held, now),
			flags: flagsOf(frontend),
			table: table?.ref ?? 0,
			tableSize: size,
			backends: frontend.backends.length,
			affinitySeconds: frontend.affinitySeconds,
		};
	}

	#takeBackend(backend: model.Backend, now: number): Held['backends'][number] {
		let entry = this.backends.get(backend.key);
		if (!entry) {
			const id = this.#backendIds.acquire(backend.key, now);
			if (id === undefined) throw new CapacityError(`no id is left for backend ${backend.key}`);
			entry = { id, backend, users: 0, localUsers: 0 };
			this.backends.set(backend.key, entry);
			this.backendsById.set(id, entry);
			this.touched.backends.add(id);
		}
		entry.users += 1;
		if (backend.local && entry.localUsers++ === 0) this.touched.backends.add(entry.id);
		return { entry, local: backend.local };
	}

	#takeTable(name: string, size: number, backends: readonly model.Backend[], now: number): TableEntry {
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
		const table = { name, ref, size, backends: backends.map((b) => b.key), users: 1 };
		this.#addTable(table);
		this.touched.tables.add(ref);
		return table;
	}

	#addTable(table: TableEntry): void {
		this.tables.set(table.name, table);
		this.tablesByRef.set(table.ref, table);
	}

	#takePort(frontend: model.Frontend, held: Held, now: number): number {
		const key = frontend.portKey;
		const adopted = this.#adopted.get(`${frontend.claim} ${frontend.scope}`);
		if (adopted !== undefined && !this.#serviceIds.has(key))
			this.#serviceIds.rename(adoptedName(adopted), key);
		const id = this.#serviceIds.acquire(key, now);
		if (id === undefined) throw new CapacityError(`no id is left for Service port ${key}`);
		this.#portNames.set(id, key);
		if (!held.ports.has(key)) this.#portUsers.set(key, (this.#portUsers.get(key) ?? 0) + 1);
		held.ports.add(key);
		return id;
	}

	/** A Service says something of an address. @param flags undefined: nothing any more */
	#say(ip: string, addr: Uint8Array, service: string, flags: number | undefined): void {
		let entry = this.addresses.get(ip);
		if (!entry) {
			entry = { addr, users: new Map() };
			this.addresses.set(ip, entry);
			this.addressBits.add(addr);
		}
		if (flags === undefined) entry.users.delete(service);
		else entry.users.set(service, flags);
		this.touched.addresses.add(ip);
		if (entry.users.size > 0) return;
		this.addresses.delete(ip);
		this.addressBits.remove(addr);
	}

	#drop(service: string, before: Held, kept: Held): void {
		for (const name of before.frontends.keys()) {
			if (kept.frontends.has(name) || this.frontends.get(name)?.owner !== service) continue;
			this.frontends.delete(name);
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
			if (entry.users === 0) this.#idle.backends.add(entry.backend.key);
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
