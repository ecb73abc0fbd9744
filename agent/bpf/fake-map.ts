import { u32Of } from '../abi/u32.ts';
import { BpfError } from './error.ts';
import type { FakeKernel } from './fake-kernel.ts';
import type { BpfMap, UpdateMode } from './port.ts';
import { countKeys, expectBytes, part, perCpuSize } from './sizes.ts';

export interface FakeMapSpec {
	readonly name: string;
	readonly keySize: number;
	/** Bytes of one value; of one CPU for per-CPU maps. */
	readonly valueSize: number;
	readonly maxEntries: number;
	/** Number of CPUs of a per-CPU map. */
	readonly cpus?: number;
}

/** Base of arrays and hashes: sizes, batches, the journal. */
abstract class FakeMap implements BpfMap {
	readonly name: string;
	readonly keySize: number;
	readonly valueSize: number;
	readonly maxEntries: number;
	protected readonly kernel: FakeKernel;

	constructor(kernel: FakeKernel, spec: FakeMapSpec) {
		this.kernel = kernel;
		this.name = spec.name;
		this.keySize = spec.keySize;
		this.valueSize = spec.cpus ? perCpuSize(spec.valueSize, spec.cpus) : spec.valueSize;
		this.maxEntries = spec.maxEntries;
	}

	protected abstract read(key: Uint8Array): Uint8Array | undefined;
	/** @returns an errno name when the kernel would refuse the write. */
	protected abstract put(key: Uint8Array, value: Uint8Array, mode: UpdateMode): string | undefined;
	protected abstract remove(key: Uint8Array): boolean;
	abstract entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;

	lookup(key: Uint8Array): Uint8Array | undefined {
		expectBytes('lookup', this.name, 'key', key.length, this.keySize);
		return this.read(key)?.slice();
	}

	update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = 'any'): void {
		expectBytes('update', this.name, 'key', key.length, this.keySize);
		expectBytes('update', this.name, 'value', value.length, this.valueSize);
		this.kernel.check('update', this.name, key);
		const code = this.put(key, value.slice(), mode);
		if (code) throw this.error('update', code);
		this.kernel.journal.push({ operation: 'update', map: this.name, key: key.slice(), value: value.slice() });
	}

	delete(key: Uint8Array): boolean {
		expectBytes('delete', this.name, 'key', key.length, this.keySize);
		this.kernel.check('delete', this.name, key);
		const had = this.remove(key);
		if (had) this.kernel.journal.push({ operation: 'delete', map: this.name, key: key.slice() });
		return had;
	}

	updateBatch(keys: Uint8Array, values: Uint8Array): void {
		const count = countKeys('update', this.name, keys, this.keySize);
		expectBytes('update', this.name, 'values', values.length, count * this.valueSize);
		for (let i = 0; i < count; i++) {
			this.counted(i, () => this.update(part(keys, i, this.keySize), part(values, i, this.valueSize)));
		}
	}

	deleteBatch(keys: Uint8Array): number {
		const count = countKeys('delete', this.name, keys, this.keySize);
		let deleted = 0;
		for (let i = 0; i < count; i++) {
			this.counted(i, () => {
				if (this.delete(part(keys, i, this.keySize))) deleted += 1;
			});
		}
		return deleted;
	}

	protected error(operation: string, errno: string, detail?: string): BpfError {
		return new BpfError({ operation, object: `map ${this.name}`, errno, ...(detail ? { detail } : {}) });
	}

	/** Adds the number of preceding entries to the failure of one entry, as a batch call does. */
	private counted(count: number, write: () => void): void {
		try {
			write();
		} catch (cause) {
			if (!(cause instanceof BpfError)) throw cause;
			throw new BpfError({
				operation: cause.operation,
				object: cause.object,
				errno: cause.code,
				count,
				cause,
			});
		}
	}
}

/** BPF_MAP_TYPE_HASH; with `lru` LRU_HASH, which evicts the entry that was written longest ago. */
export class FakeHash extends FakeMap {
	readonly #entries = new Map<string, Uint8Array>();
	readonly #lru: boolean;

	constructor(kernel: FakeKernel, spec: FakeMapSpec & { readonly lru?: boolean }) {
		super(kernel, spec);
		this.#lru = spec.lru ?? false;
	}

	protected override read(key: Uint8Array): Uint8Array | undefined {
		return this.#entries.get(textOf(key));
	}

	protected override put(key: Uint8Array, value: Uint8Array, mode: UpdateMode): string | undefined {
		const text = textOf(key);
		const has = this.#entries.has(text);
		if (has && mode === 'noexist') return 'EEXIST';
		if (!has && mode === 'exist') return 'ENOENT';
		if (!has && this.#entries.size >= this.maxEntries) {
			if (!this.#lru) return 'E2BIG';
			const oldest = this.#entries.keys().next();
			if (!oldest.done) this.#entries.delete(oldest.value);
		}
		if (this.#lru) this.#entries.delete(text);
		this.#entries.set(text, value);
		return undefined;
	}

	protected override remove(key: Uint8Array): boolean {
		return this.#entries.delete(textOf(key));
	}

	override *entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
		for (const [key, value] of [...this.#entries]) {
			if (this.#entries.has(key)) yield [new Uint8Array(Buffer.from(key, 'latin1')), value.slice()];
		}
	}
}

const textOf = (key: Uint8Array): string =>
	Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');

/**
 * BPF_MAP_TYPE_ARRAY: every index exists from the start with zeros. Allocates an entry on its first
 * write.
 */
export class FakeArray extends FakeMap {
	readonly #values: (Uint8Array | undefined)[] = [];

	protected override read(key: Uint8Array): Uint8Array | undefined {
		const index = u32Of(key);
		return index < this.maxEntries ? (this.#values[index] ?? new Uint8Array(this.valueSize)) : undefined;
	}

	protected override put(key: Uint8Array, value: Uint8Array, mode: UpdateMode): string | undefined {
		const index = u32Of(key);
		if (index >= this.maxEntries) return 'E2BIG';
		if (mode === 'noexist') return 'EEXIST';
		this.#values[index] = value;
		return undefined;
	}

	protected override remove(_key: Uint8Array): boolean {
		throw this.error('delete', 'EINVAL', 'entries of an array cannot be deleted');
	}

	override *entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
		// tests dump arrays of thousands of zeros very often
		const keys = new Uint8Array(4 * this.maxEntries);
		const view = new DataView(keys.buffer);
		const zero = new Uint8Array(this.valueSize);
		for (let index = 0; index < this.maxEntries; index++) {
			view.setUint32(4 * index, index, true);
			yield [keys.subarray(4 * index, 4 * index + 4), this.#values[index]?.slice() ?? zero];
		}
	}
}
