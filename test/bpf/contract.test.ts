import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { BpfError } from '../../agent/bpf/error.ts';
import { FakeArray, FakeHash, FakeKernel } from '../../agent/bpf/fake.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { KernelMap } from '../../agent/bpf/kernel-map.ts';
import type { BpfMap } from '../../agent/bpf/port.ts';
import { MapType } from '../../agent/bpf/uapi.ts';
import { natives } from './binding-setup.ts';

type Kind = 'hash' | 'array' | 'lru' | 'percpu-array' | 'percpu-hash';
interface Size {
	readonly keySize?: number;
	readonly valueSize?: number;
	readonly maxEntries?: number;
}
type Make = (kind: Kind, size?: Size) => BpfMap;

const TYPES: Record<Kind, number> = {
	hash: MapType.HASH,
	array: MapType.ARRAY,
	lru: MapType.LRU_HASH,
	'percpu-array': MapType.PERCPU_ARRAY,
	'percpu-hash': MapType.PERCPU_HASH,
};

const open: KernelMap[] = [];
const all = natives();
const cpus = all.get('koffi')!.call.libbpf_num_possible_cpus();

const fake: Make = (kind, size = {}) => {
	const spec = { name: 'm', keySize: 4, valueSize: 8, maxEntries: 4, ...size };
	const kernel = new FakeKernel();
	const perCpu = kind.startsWith('percpu') ? { ...spec, cpus } : spec;
	return kind.endsWith('array')
		? new FakeArray(kernel, perCpu)
		: new FakeHash(kernel, { ...perCpu, lru: kind === 'lru' });
};

const kernel =
	(native: Native): Make =>
	(kind, size = {}) => {
		const { keySize, valueSize, maxEntries } = { keySize: 4, valueSize: 8, maxEntries: 4, ...size };
		const fd = native.call.bpf_map_create(TYPES[kind], 'm', keySize, valueSize, maxEntries, null);
		expect(fd).toBeGreaterThan(0);
		const map = new KernelMap(native, fd);
		open.push(map);
		return map;
	};

/** A kernel whose batch commands all return ENOTSUPP, as Linux 5.10 does for some types. */
const withoutBatch = (native: Native): Native => {
	const refuse = () => -524;
	const call = { ...native.call, bpf_map_update_batch: refuse, bpf_map_delete_batch: refuse };
	return { ...native, call: { ...call, bpf_map_lookup_batch: refuse } };
};

const u32 = (...numbers: number[]) => new Uint8Array(Uint32Array.from(numbers).buffer);
const u64 = (...numbers: number[]) => new Uint8Array(BigUint64Array.from(numbers.map(BigInt)).buffer);
const keysOf = (map: BpfMap) =>
	[...map.entries()].map(([key]) => new DataView(key.slice().buffer).getUint32(0, true)).sort();

function failure(action: () => unknown): BpfError {
	try {
		action();
	} catch (error) {
		expect(error).toBeInstanceOf(BpfError);
		return error as BpfError;
	}
	throw new Error('Expected a BpfError, but nothing was thrown');
}

const koffi = all.get('koffi')!;
const implementations: [string, Make][] = [
	['fake', fake],
	['kernel by koffi', kernel(koffi)],
	['kernel by ffi-napi', kernel(all.get('ffi-napi')!)],
	['kernel without batch', kernel(withoutBatch(koffi))],
];

afterEach(() => {
	for (const map of open.splice(0)) map.close();
});
afterAll(() => {
	for (const native of all.values()) native.log.close();
});

describe.each(implementations)('BpfMap contract: %s', (_, make) => {
	it('lookup() gives a copy, or undefined', () => {
		const map = make('hash');
		expect(map.lookup(u32(1))).toBeUndefined();
		map.update(u32(1), u64(11));
		map.lookup(u32(1))!.fill(0);
		expect(map.lookup(u32(1))).toEqual(u64(11));
	});

	it('update() obeys noexist and exist', () => {
		const map = make('hash');
		expect(failure(() => map.update(u32(1), u64(1), 'exist')).code).toBe('ENOENT');
		map.update(u32(1), u64(1), 'noexist');
		expect(failure(() => map.update(u32(1), u64(2), 'noexist')).code).toBe('EEXIST');
		map.update(u32(1), u64(3), 'exist');
		expect(map.lookup(u32(1))).toEqual(u64(3));
	});

	it('hash refuses max+1 with E2BIG, and updates existing keys when full', () => {
		const map = make('hash');
		for (const n of [1, 2, 3, 4]) map.update(u32(n), u64(n));
		const error = failure(() => map.update(u32(5), u64(5)));
		expect([error.code, error.operation, error.object]).toEqual(['E2BIG', 'update', 'map m']);
		map.update(u32(4), u64(44));
		expect(map.lookup(u32(4))).toEqual(u64(44));
		expect(map.delete(u32(1))).toBe(true);
		map.update(u32(5), u64(5));
		expect(keysOf(map)).toEqual([2, 3, 4, 5]);
	});

	it('delete() tells whether the key was there', () => {
		const map = make('hash');
		map.update(u32(1), u64(1));
		expect(map.delete(u32(1))).toBe(true);
		expect(map.delete(u32(1))).toBe(false);
	});

	it('array has every index from the start, refuses others with E2BIG, and delete with EINVAL', () => {
		const map = make('array');
		expect(map.lookup(u32(3))).toEqual(u64(0));
		expect(map.lookup(u32(4))).toBeUndefined();
		expect(failure(() => map.update(u32(4), u64(1))).code).toBe('E2BIG');
		expect(failure(() => map.update(u32(1), u64(1), 'noexist')).code).toBe('EEXIST');
		expect(failure(() => map.delete(u32(1))).code).toBe('EINVAL');
		expect(failure(() => map.deleteBatch(u32(1, 2)))).toMatchObject({ code: 'EINVAL' });
		expect(keysOf(map)).toEqual([0, 1, 2, 3]);
	});

	it('refuses keys and values of a wrong length with EINVAL before anything is copied', () => {
		const map = make('hash');
		for (const act of [
			() => map.lookup(u32(1, 2)),
			() => map.update(new Uint8Array(3), u64(1)),
			() => map.update(u32(1), u64(1, 2)),
			() => map.update(u32(1), new Uint8Array(0)),
			() => map.delete(new Uint8Array(5)),
			() => map.updateBatch(u32(1, 2), u64(1)),
			() => map.updateBatch(new Uint8Array(7), u64(1)),
			() => map.deleteBatch(new Uint8Array(2)),
		]) {
			const error = failure(act);
			expect([error.code, error.message]).toEqual(['EINVAL', expect.stringMatching(/expected \d+ bytes of/)]);
		}
		expect(keysOf(map)).toEqual([]);
	});

	it('updateBatch() writes all, new and existing', () => {
		const map = make('hash');
		map.update(u32(2), u64(9));
		map.updateBatch(u32(1, 2, 3), u64(11, 22, 33));
		expect([1, 2, 3].map((n) => map.lookup(u32(n)))).toEqual([u64(11), u64(22), u64(33)]);
		map.updateBatch(new Uint8Array(0), new Uint8Array(0));
		expect(keysOf(map)).toEqual([1, 2, 3]);
	});

	it('updateBatch() stops at the first failure and says how many were written', () => {
		const map = make('hash');
		const error = failure(() => map.updateBatch(u32(1, 2, 3, 4, 5, 1), u64(1, 2, 3, 4, 5, 99)));
		expect([error.code, error.count]).toEqual(['E2BIG', 4]);
		expect(map.lookup(u32(1))).toEqual(u64(1));
		expect(failure(() => map.updateBatch(u32(6), u64(6)))).toMatchObject({ code: 'E2BIG', count: 0 });
	});

	it('updateBatch() writes arrays, and stops at an index that is out of range', () => {
		const map = make('array');
		map.updateBatch(u32(3, 0), u64(3, 7));
		expect(map.lookup(u32(0))).toEqual(u64(7));
		expect(failure(() => map.updateBatch(u32(1, 9, 2), u64(1, 9, 2)))).toMatchObject({
			code: 'E2BIG',
			count: 1,
		});
		expect(map.lookup(u32(2))).toEqual(u64(0));
	});

	it('deleteBatch() passes over absent keys and counts the others', () => {
		const map = make('hash');
		map.updateBatch(u32(1, 2, 3, 4), u64(1, 2, 3, 4));
		expect(map.deleteBatch(u32(9, 1, 8, 3, 3, 7))).toBe(2);
		expect(keysOf(map)).toEqual([2, 4]);
		expect(map.deleteBatch(new Uint8Array(0))).toBe(0);
	});

	it('entries() gives every entry once, over many calls', () => {
		const map = make('hash', { maxEntries: 5000, valueSize: 400 });
		const keys = Uint32Array.from({ length: 4000 }, (_, i) => i * 7);
		map.updateBatch(new Uint8Array(keys.buffer), new Uint8Array(400 * keys.length));
		expect(new Set(keysOf(map))).toEqual(new Set(keys));
		expect([...map.entries()]).toHaveLength(4000);
	});

	it('entries() survives writes and deletes while it runs', () => {
		const map = make('hash', { maxEntries: 400 });
		map.updateBatch(u32(...Array(300).keys()), u64(...Array(300).keys()));
		const seen = new Set<number>();
		for (const [key, value] of map.entries()) {
			const number = new DataView(key.slice().buffer).getUint32(0, true);
			expect([number, value]).toEqual([number, u64(number)]);
			seen.add(number);
			if (number % 2 === 1) map.delete(key);
		}
		expect([...seen].filter((n) => n % 2 === 0)).toHaveLength(150);
	});

	it('keys of 20 bytes and values of 24 keep every byte', () => {
		const map = make('hash', { keySize: 20, valueSize: 24 });
		const key = Uint8Array.from({ length: 20 }, (_, i) => 255 - i);
		const value = Uint8Array.from({ length: 24 }, (_, i) => i);
		map.update(key, value);
		expect([...map.entries()].map(([k, v]) => [[...k], [...v]])).toEqual([[[...key], [...value]]]);
	});

	it('takes views into larger buffers', () => {
		const map = make('hash');
		const buffer = u64(0, 5, 6, 0);
		map.update(buffer.subarray(8, 12), buffer.subarray(16, 24));
		expect(map.lookup(u32(5))).toEqual(u64(6));
	});

	it('lru takes more keys than it has room for', () => {
		const map = make('lru', { maxEntries: 256 });
		for (let n = 0; n < 1000; n++) map.update(u32(n), u64(n));
		expect(map.lookup(u32(999))).toEqual(u64(999));
		expect(keysOf(map).length).toBeLessThanOrEqual(256);
	});

	it.each(['percpu-array', 'percpu-hash'] as const)(
		'%s has a value a CPU, each rounded up to 8 bytes',
		(kind) => {
			const map = make(kind, { valueSize: 12 });
			expect(map.valueSize).toBe(16 * cpus);
			const value = new Uint8Array(16 * cpus);
			for (let cpu = 0; cpu < cpus; cpu++) value.fill(cpu + 1, cpu * 16, cpu * 16 + 12);
			map.update(u32(1), value);
			map.updateBatch(u32(2), value);
			expect(map.lookup(u32(1))).toEqual(value);
			expect(map.lookup(u32(2))).toEqual(value);
			expect(keysOf(map)).toEqual(kind === 'percpu-array' ? [0, 1, 2, 3] : [1, 2]);
			expect(failure(() => map.update(u32(1), new Uint8Array(12))).code).toBe('EINVAL');
		},
	);
});

describe('KernelMap', () => {
	it('refuses use after close() with EBADF instead of writing to a foreign descriptor', () => {
		const map = kernel(koffi)('hash') as KernelMap;
		map.close();
		map.close();
		expect(failure(() => map.update(u32(1), u64(1))).code).toBe('EBADF');
		expect(failure(() => [...map.entries()]).code).toBe('EBADF');
	});
});
