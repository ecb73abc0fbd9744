import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { murmur3 } from '../../agent/maglev/murmur3.ts';
import { TABLE_SIZES, tableSize } from '../../agent/maglev/size.ts';
import { fillTable, isPrime, maglevTable, permutation } from '../../agent/maglev/table.ts';
import { tableChunks } from '../../agent/plan/kernel.ts';
import { TableSpace } from '../../agent/plan/table-space.ts';

const names = (n: number, seed = 0) =>
	Array.from({ length: n }, (_, i) => `10.${seed}.${i >> 8}.${i & 255}:8080/tcp`);

/** Number of slots for each index of 0..n-1. */
function shares(table: Uint32Array, n: number): number[] {
	const counts = new Array<number>(n).fill(0);
	for (const index of table) counts[index]! += 1;
	return counts;
}

/**
 * Slots of other backends that change when backend `removed` is removed: their number, and percent
 * of all slots of the others.
 */
function disruption(
	list: readonly string[],
	size: number,
	removed: number,
): { slots: number; percent: number } {
	const before = maglevTable(list, size);
	const rest = list.filter((_, i) => i !== removed);
	const after = maglevTable(rest, size);
	let changed = 0;
	let others = 0;
	for (let slot = 0; slot < size; slot++) {
		if (before[slot] === removed) continue;
		others += 1;
		if (rest[after[slot]!] !== list[before[slot]!]) changed += 1;
	}
	return { slots: changed, percent: (100 * changed) / others };
}

const average = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('murmur3()', () => {
	it.each([
		['', 0, 0],
		['', 1, 0x514e28b7],
		['', 0xffffffff, 0x81f16f39],
		['a', 0x9747b28c, 0x7fa09ea6],
		['aa', 0x9747b28c, 0x5d211726],
		['aaa', 0x9747b28c, 0x283e0130],
		['aaaa', 0x9747b28c, 0x5a97808a],
		['hello', 0, 0x248bfa47],
		['Hello, world!', 0x9747b28c, 0x24884cba],
		['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
	])('of %j with seed %i is known', (text, seed, hash) => {
		expect(murmur3(new TextEncoder().encode(text), seed)).toBe(hash);
	});
});

describe('fillTable()', () => {
	interface Population {
		readonly M: number;
		readonly perms_offset_skip: [number, number][];
		readonly counts_min_max: [number, number];
		readonly table_sha256_u32le: string;
		readonly remove_index: number;
		readonly table_after_sha256_u32le: string;
		readonly extra_changed_entries: number;
		readonly table?: number[];
		readonly table_after_remove?: number[];
	}
	const vectors = JSON.parse(
		readFileSync(new URL('vectors/maglev_population.json', import.meta.url), 'utf8'),
	) as {
		paper_M7: { perms: [number, number][]; table: number[]; remove_1: number[] };
		population: Population[];
	};
	const fill = (perms: readonly [number, number][], size: number) =>
		fillTable(
			perms.map(([offset, skip]) => ({ offset, skip })),
			size,
		);
	const hash = (table: Uint32Array) =>
		createHash('sha256').update(new Uint8Array(table.buffer)).digest('hex');

	it('fills the table of the paper, with and without backend 1 (G-01)', () => {
		const { perms, table, remove_1 } = vectors.paper_M7;
		expect([...fill(perms, 7)]).toEqual(table);
		expect([...fill([perms[0]!, perms[2]!], 7)].map((i) => i * 2)).toEqual(remove_1);
	});

	it.each(vectors.population)('fills the vectors of $M slots (G-02)', (v) => {
		const table = fill(v.perms_offset_skip, v.M);
		expect(hash(table)).toBe(v.table_sha256_u32le);
		if (v.table) expect([...table]).toEqual(v.table);
		const counts = shares(table, v.perms_offset_skip.length);
		expect([Math.min(...counts), Math.max(...counts)]).toEqual(v.counts_min_max);
		const after = fill(
			v.perms_offset_skip.filter((_, i) => i !== v.remove_index),
			v.M,
		).map((i) => (i >= v.remove_index ? i + 1 : i));
		expect(hash(after)).toBe(v.table_after_sha256_u32le);
		if (v.table_after_remove) expect([...after]).toEqual(v.table_after_remove);
		const changed = table.filter((owner, slot) => owner !== v.remove_index && owner !== after[slot]);
		expect(changed.length).toBe(v.extra_changed_entries);
	});

	it('refuses sizes that are no primes and more backends than slots; nothing for nobody; all for one (G R-4)', () => {
		const one = { offset: 1, skip: 1 };
		expect(() => fillTable([one], 250)).toThrow('Cannot fill a Maglev table of 250 slots: not a prime');
		expect(() => fillTable(new Array(8).fill(one), 7)).toThrow(
			'Cannot fill a Maglev table of 7 slots for 8 backends',
		);
		expect(fillTable([], 7)).toHaveLength(0);
		expect([...fillTable([one], 7)]).toEqual([0, 0, 0, 0, 0, 0, 0]);
	});
});

describe('maglevTable()', () => {
	it('is the same on every machine: known answer', () => {
		expect(permutation('10.0.0.1:80/tcp', 251)).toEqual({ offset: 98, skip: 186 });
		const table = maglevTable(['10.0.0.1:80/tcp', '10.0.0.2:80/tcp', '10.0.0.3:80/tcp'], 251);
		expect(createHash('sha256').update(new Uint8Array(table.buffer)).digest('hex').slice(0, 16)).toBe(
			'0baf8249311015f7',
		);
	});

	it('depends on the set, not on its order (G R-1)', () => {
		const sets = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 30 });
		const shuffled = sets.chain((set) =>
			fc.tuple(fc.constant(set), fc.shuffledSubarray(set, { minLength: set.length })),
		);
		fc.assert(
			fc.property(shuffled, ([a, b]) => {
				const named = (list: readonly string[]) => [...maglevTable(list, 251)].map((i) => list[i]);
				expect(named(b)).toEqual(named(a));
			}),
		);
	});

	it('has no holes, and shares that differ by at most 1 (G R-2)', () => {
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 509 }), fc.integer({ min: 0, max: 255 }), (n, seed) => {
				const counts = shares(maglevTable(names(n, seed), 509), n);
				expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
			}),
			{ numRuns: 60 },
		);
	});

	it('refuses a name that is given twice', () => {
		expect(() => maglevTable(['a', 'b', 'a'], 7)).toThrow('a is given twice');
	});

	it.each([
		[65521, 10, 0.6, 1.0002],
		[65521, 100, 1, 1.0016],
		[65521, 1000, 1, 1.0154],
	])(
		'of %i slots and %i backends: at most %f %% move, largest/smallest share %f (G-21)',
		(size, n, limit, ratio) => {
			const list = names(n, 7);
			const moved = [0, n >> 1, n - 1].map((removed) => (100 * disruption(list, size, removed).slots) / size);
			expect(average(moved)).toBeLessThanOrEqual(limit);
			const counts = shares(maglevTable(list, size), n);
			expect(Math.max(...counts) / Math.min(...counts)).toBeLessThanOrEqual(ratio);
		},
	);

	// percentages from simulations with ideal hashes, with a tolerance of a third for chance
	it.each([
		[65521, [0.04, 0.13, 0.23, 0.34, 0.46, 0.57, 0.71, 0.58]],
		[16381, [0.05, 0.18, 0.53, 0.74, 0.99, 1.34, 1.5, 0.58]],
	])(
		'one backend less of %i slots moves few others, however many there are (G-20, G R-5)',
		(size, percents) => {
			for (const [i, n] of [3, 5, 10, 20, 50, 100, 250, 1000].entries()) {
				const moved = [1, 2, 3].flatMap((seed) =>
					[0, n >> 1, n - 1].map((removed) => disruption(names(n, seed), size, removed).slots),
				);
				expect((100 * average(moved)) / size, `${n} backends`).toBeLessThan(percents[i]! * 1.34);
			}
		},
	);

	it('fills 65521 slots for 100 backends, and 1000 tables of 16381 for 3, in bounded time (G-26)', () => {
		const start = performance.now();
		maglevTable(names(100), 65521);
		expect(performance.now() - start).toBeLessThan(500);
		for (let i = 0; i < 1000; i++) maglevTable(names(3, i & 255), 16381);
		expect(performance.now() - start).toBeLessThan(30_000);
	});
});

describe('tableSize()', () => {
	it('is a prime from the list, with at least 100 slots a backend, 2000 for shared addresses', () => {
		expect(TABLE_SIZES.every(isPrime)).toBe(true);
		expect([0, 1, 2, 3, 10, 11, 1310, 1311, 5000].map((n) => tableSize(n, 'own'))).toEqual([
			0, 251, 251, 509, 1021, 2039, 131071, 131071, 131071,
		]);
		expect([1, 3, 10, 16, 17, 131].map((n) => tableSize(n, 'shared'))).toEqual([
			251, 8191, 32749, 32749, 65521, 131071,
		]);
	});

	it('is the fixed size where that has a slot for each backend', () => {
		expect([0, 1, 251].map((n) => tableSize(n, 'own', 251))).toEqual([0, 251, 251]);
		expect(tableSize(252, 'own', 251)).toBe(32749);
	});

	it('lets one of 10 backends go with at most 1.5 % of the tuples of the others moved, on average 0.6 %', () => {
		const moved: number[] = [];
		for (let seed = 0; seed < 20; seed++) {
			for (const removed of [0, 4, 9])
				moved.push(disruption(names(10, seed), tableSize(10, 'shared'), removed).percent);
		}
		expect(average(moved)).toBeLessThan(0.8);
		expect(moved.sort((a, b) => a - b)[Math.floor(moved.length * 0.95)]).toBeLessThan(1.5);
	});

	it('keeps 10 000 Services of 10 backends under 64 MiB', () => {
		const space = new TableSpace(16384, 256);
		for (let i = 0; i < 10_000; i++)
			expect(space.allocate(tableChunks(tableSize(10, 'own'), 10), 0)).toBeDefined();
		expect(space.segments * 16384 * 64).toBe(40 * 2 ** 20);
	});
});
