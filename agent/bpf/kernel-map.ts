import { u32Bytes, u32Of } from '../abi/u32.ts';
import { check, infoOf, openPin } from './call.ts';
import { BpfError, errnoNumber, isBpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import type { BpfMap, UpdateMode } from './port.ts';
import { countKeys, expectBytes, part, perCpuSize } from './sizes.ts';
import { type MapInfo, MapType, mapInfoCodec } from './uapi.ts';

const MODES: Record<UpdateMode, number> = { any: 0, noexist: 1, exist: 2 };
const PER_CPU: ReadonlySet<number> = new Set([
	MapType.PERCPU_HASH,
	MapType.PERCPU_ARRAY,
	MapType.LRU_PERCPU_HASH,
]);
const ENOENT = 2;
const ENOSPC = 28;
const EINVAL = 22;
const ENOTSUPP = 524;
/** Approximate bytes that one call of a dump reads. */
const DUMP_BYTES = 1 << 20;

/**
 * Kernels 5.6 to 6.1 added batch commands one map type at a time. A refused command is not retried.
 */
interface BatchSupport {
	lookup: boolean;
	update: boolean;
	delete: boolean;
}

/** A kernel map behind a descriptor. */
export class KernelMap implements BpfMap, Disposable {
	readonly name: string;
	readonly keySize: number;
	readonly valueSize: number;
	readonly maxEntries: number;
	readonly fd: number;
	readonly info: MapInfo;
	readonly #native: Native;
	readonly #owned: boolean;
	readonly #batch: BatchSupport = { lookup: true, update: true, delete: true };
	#closed = false;

	/**
	 * `owned`: whether close() closes the descriptor; else an object owns it. `name` defaults to the
	 * kernel's name.
	 */
	constructor(
		native: Native,
		fd: number,
		options: { readonly name?: string; readonly owned?: boolean } = {},
	) {
		this.#native = native;
		this.#owned = options.owned ?? true;
		this.fd = fd;
		this.info = infoOf(native, fd, mapInfoCodec, `map ${options.name ?? ''}`.trim());
		this.name = options.name ?? new TextDecoder().decode(this.info.name).replaceAll('\0', '');
		this.keySize = this.info.keySize;
		this.maxEntries = this.info.maxEntries;
		this.valueSize = PER_CPU.has(this.info.type)
			? perCpuSize(this.info.valueSize, check(native.call.libbpf_num_possible_cpus(), 'count', 'CPUs'))
			: this.info.valueSize;
	}

	lookup(key: Uint8Array): Uint8Array | undefined {
		expectBytes('lookup', this.name, 'key', key.length, this.keySize);
		const value = new Uint8Array(this.valueSize);
		const result = this.#native.call.bpf_map_lookup_elem(this.#use(), key, value);
		if (result === -ENOENT) return undefined;
		check(result, 'lookup in', `map ${this.name}`);
		return value;
	}

	update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
		expectBytes('update', this.name, 'key', key.length, this.keySize);
		expectBytes('update', this.name, 'value', value.length, this.valueSize);
		const result = this.#native.call.bpf_map_update_elem(this.#use(), key, value, MODES[mode]);
		if (result < 0) throw this.#failure('update', -result);
	}

	delete(key: Uint8Array): boolean {
		expectBytes('delete', this.name, 'key', key.length, this.keySize);
		const result = this.#native.call.bpf_map_delete_elem(this.#use(), key);
		if (result === -ENOENT) return false;
		if (result < 0) throw this.#failure('delete', -result);
		return true;
	}

	updateBatch(keys: Uint8Array, values: Uint8Array): void {
		const count = countKeys('update', this.name, keys, this.keySize);
		expectBytes('update', this.name, 'values', values.length, count * this.valueSize);
		if (count === 0) return;
		if (this.#batch.update) {
			const done = u32Bytes(count);
			const result = this.#native.call.bpf_map_update_batch(this.#use(), keys, values, done, null);
			if (result >= 0) return;
			if (!this.#unsupported(result, done, count)) {
				throw this.#failure('update', -result, written(done, count));
			}
			this.#batch.update = false;
		}
		this.#each(count, (i) => this.update(part(keys, i, this.keySize), part(values, i, this.valueSize)));
	}

	deleteBatch(keys: Uint8Array): number {
		const count = countKeys('delete', this.name, keys, this.keySize);
		let deleted = 0;
		let from = 0;
		while (this.#batch.delete && from < count) {
			const rest = keys.subarray(from * this.keySize);
			const done = u32Bytes(count - from);
			const result = this.#native.call.bpf_map_delete_batch(this.#use(), rest, done, null);
			if (this.#unsupported(result, done, count - from)) this.#batch.delete = false;
			else {
				const here = result < 0 ? written(done, count - from) : count - from;
				deleted += here;
				// The kernel stops at a missing key: skip it.
				from += here + 1;
				if (result < 0 && result !== -ENOENT) throw this.#failure('delete', -result, deleted);
			}
		}
		this.#each(Math.max(count - from, 0), (i) => {
			if (this.delete(part(keys, from + i, this.keySize))) deleted += 1;
		});
		return deleted;
	}

	*entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
		if (this.#batch.lookup && (yield* this.#dump())) return;
		yield* this.#walk();
	}

	/** Closes an owned descriptor; a pinned map stays. */
	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		if (this.#owned) this.#native.call.close(this.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}

	/**
	 * Reads bucket by bucket. @returns false when the kernel has no batch lookup for this type and
	 * nothing was read.
	 */
	*#dump(): Generator<readonly [Uint8Array, Uint8Array], boolean> {
		const { keySize, valueSize } = this;
		let room = Math.max(64, Math.min(this.maxEntries, Math.floor(DUMP_BYTES / (keySize + valueSize))));
		let token: Uint8Array | null = null;
		for (;;) {
			const next = new Uint8Array(Math.max(keySize, 8));
			const keys = new Uint8Array(room * keySize);
			const values = new Uint8Array(room * valueSize);
			const done = u32Bytes(room);
			const call = this.#native.call.bpf_map_lookup_batch;
			const result = call(this.#use(), token, next, keys, values, done, null);
			if (result === -ENOSPC) {
				// One bucket holds more entries than the buffers.
				room *= 2;
				continue;
			}
			if (token === null && this.#unsupported(result, done, room)) {
				this.#batch.lookup = false;
				return false;
			}
			if (result < 0 && result !== -ENOENT) throw this.#failure('dump', -result);
			const count = u32Of(done);
			for (let i = 0; i < count; i++) yield [part(keys, i, keySize), part(values, i, valueSize)];
			if (result === -ENOENT) return true;
			token = next;
		}
	}

	/** Reads key by key. The kernel restarts after a deleted key, so seen keys are remembered. */
	*#walk(): Generator<readonly [Uint8Array, Uint8Array]> {
		const seen = new Set<string>();
		let key: Uint8Array | null = null;
		for (;;) {
			const next = new Uint8Array(this.keySize);
			const result = this.#native.call.bpf_map_get_next_key(this.#use(), key, next);
			if (result === -ENOENT) return;
			check(result, 'dump', `map ${this.name}`);
			const text = Buffer.from(next.buffer).toString('latin1');
			const value = seen.has(text) ? undefined : this.lookup(next);
			seen.add(text);
			if (value) yield [next, value];
			key = next;
		}
	}

	/**
	 * Makes single calls instead of a batch. A failure contains the number of preceding successes.
	 */
	#each(count: number, run: (i: number) => void): void {
		for (let i = 0; i < count; i++) {
			try {
				run(i);
			} catch (cause) {
				if (!isBpfError(cause)) throw cause;
				throw this.#failure(cause.operation, errnoNumber(cause.code), i);
			}
		}
	}

	/**
	 * EINVAL at the first entry may mean an unknown command. The single call then reports the real
	 * error.
	 */
	#unsupported(result: number, done: Uint8Array, count: number): boolean {
		return result === -ENOTSUPP || (result === -EINVAL && written(done, count) === 0);
	}

	#failure(operation: string, errno: number, count?: number): BpfError {
		const full = errno === 7 ? `no room is left: it holds ${this.maxEntries} entries` : undefined;
		return new BpfError({
			operation,
			object: `map ${this.name}`,
			errno,
			...(count === undefined ? {} : { count }),
			...(full ? { detail: full } : {}),
		});
	}

	#use(): number {
		if (this.#closed)
			throw new BpfError({ operation: 'use', object: `closed map ${this.name}`, errno: 'EBADF' });
		return this.fd;
	}
}

/**
 * Entries done by a failed batch. The kernel leaves the count unchanged when the first entry fails.
 */
function written(done: Uint8Array, asked: number): number {
	const count = u32Of(done);
	return count >= asked ? 0 : count;
}

/** Opens a pinned map. @returns undefined when nothing is pinned there. */
export function openPinnedMap(native: Native, path: string, name?: string): KernelMap | undefined {
	const fd = openPin(native, path, `map ${name ?? ''}`.trim());
	if (fd === undefined) return undefined;
	try {
		return new KernelMap(native, fd, name === undefined ? {} : { name });
	} catch (error) {
		native.call.close(fd);
		throw error;
	}
}
