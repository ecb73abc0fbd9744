import { describe, expect, it } from 'vitest';
import { BpfError } from '../../agent/bpf/error.ts';
import { FakeHash, FakeKernel, fakeServiceMaps } from '../../agent/bpf/fake.ts';

const byte = (n: number) => Uint8Array.of(n);
const spec = { name: 'm', keySize: 1, valueSize: 1, maxEntries: 2 };

describe('FakeKernel', () => {
	it('records every acknowledged write in order, over all maps', () => {
		const maps = fakeServiceMaps({ chunks: 4 });
		const segment = maps.tables.grow();
		segment.update(Uint8Array.of(1, 0, 0, 0), new Uint8Array(64).fill(9));
		maps.settings.update(new Uint8Array(4), new Uint8Array(32));
		const took = maps.kernel.take().map(({ operation, map }) => `${operation} ${map}`);
		expect(took).toEqual(['grow tables_0', 'update tables_0', 'update node_settings']);
		expect(maps.kernel.take()).toEqual([]);
	});

	it('failAt(n) fails the n-th write once, inside a batch with the count of those before', () => {
		const kernel = new FakeKernel();
		const map = new FakeHash(kernel, { ...spec, maxEntries: 10 });
		kernel.failAt(3, 'EIO');
		let caught: unknown;
		try {
			map.updateBatch(Uint8Array.of(1, 2, 3, 4), Uint8Array.of(1, 2, 3, 4));
		} catch (error) {
			caught = error;
		}
		expect(caught).toBeInstanceOf(BpfError);
		expect(caught).toMatchObject({ code: 'EIO', count: 2, operation: 'update', object: 'map m' });
		expect([...map.entries()].map(([key]) => key[0])).toEqual([1, 2]);
		map.update(byte(3), byte(3));
		expect(map.lookup(byte(3))).toEqual(byte(3));
	});

	it('does not record what was refused', () => {
		const kernel = new FakeKernel();
		const map = new FakeHash(kernel, spec);
		map.update(byte(1), byte(1));
		expect(() => map.update(byte(1), byte(2), 'noexist')).toThrow('Cannot update map m: EEXIST (it exists)');
		expect(map.delete(byte(9))).toBe(false);
		expect(kernel.take()).toHaveLength(1);
	});

	it('copies keys and values, so that later changes of a buffer do not reach the map', () => {
		const map = new FakeHash(new FakeKernel(), spec);
		const value = byte(1);
		map.update(byte(1), value);
		value[0] = 9;
		map.lookup(byte(1))!.fill(7);
		expect(map.lookup(byte(1))).toEqual(byte(1));
	});
});

describe('FakeHash', () => {
	it('lru drops the entry written longest ago instead of E2BIG', () => {
		const map = new FakeHash(new FakeKernel(), { ...spec, lru: true });
		for (const n of [1, 2, 1, 3]) map.update(byte(n), byte(n));
		expect([...map.entries()].map(([key]) => key[0])).toEqual([1, 3]);
	});
});

describe('FakeTableSegments', () => {
	it('grow() stops at the limit with E2BIG', () => {
		const { tables } = fakeServiceMaps({ chunks: 1, segments: 2 });
		tables.grow();
		tables.grow();
		expect(tables.count).toBe(2);
		expect(() => tables.grow()).toThrow(BpfError);
		expect(() => tables.segment(2)).toThrow('Cannot open map tables_2: ENOENT');
	});
});

describe('BpfError', () => {
	it('says what to do about the common codes', () => {
		const error = new BpfError({ operation: 'load', object: 'program p', errno: 1 });
		expect(error.message).toBe(
			'Cannot load program p: EPERM (not permitted; the process needs CAP_BPF and CAP_NET_ADMIN)',
		);
		expect(new BpfError({ operation: 'x', object: 'y', errno: 524 }).code).toBe('ENOTSUPP');
		expect(new BpfError({ operation: 'x', object: 'y', errno: 'E2BIG' }).errno).toBe(7);
		expect(new BpfError({ operation: 'x', object: 'y', errno: 9999 }).code).toBe('E9999');
	});
});
