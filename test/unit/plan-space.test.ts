import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IdPool, REST_MS } from '../../agent/plan/ids.ts';
import { TableSpace } from '../../agent/plan/table-space.ts';

describe('IdPool', () => {
	it('gives the lowest free id, never 0, and the same to the same key', () => {
		const pool = new IdPool(4);
		expect(['a', 'b', 'a', 'c', 'd'].map((key) => pool.acquire(key, 0))).toEqual([1, 2, 1, 3, undefined]);
	});

	it('gives a released id to another key only after it was acknowledged and has rested', () => {
		const pool = new IdPool(2);
		pool.acquire('a', 0);
		pool.release('a');
		expect(pool.acquire('b', 5000)).toBeUndefined();
		pool.settle(5000);
		expect(pool.acquire('b', 5000 + REST_MS - 1)).toBeUndefined();
		expect(pool.acquire('b', 5000 + REST_MS)).toBe(1);
	});

	it('gives a key its own id back while that rests', () => {
		const pool = new IdPool(3);
		pool.acquire('a', 0);
		pool.release('a');
		pool.settle(0);
		expect(pool.acquire('b', 1)).toBe(2);
		expect(pool.acquire('a', 2)).toBe(1);
		pool.settle(3);
		expect(pool.acquire('c', 10_000)).toBeUndefined();
	});

	it('keeps seeded ids for their keys until they are settled without them', () => {
		const pool = new IdPool(4);
		pool.seed('a', 2);
		pool.seed('b', 2);
		pool.seed('c', 3);
		expect([pool.acquire('b', 0), pool.acquire('a', 0), pool.acquire('d', 0)]).toEqual([1, 2, undefined]);
		pool.settle(0);
		expect(pool.acquire('d', REST_MS)).toBe(3);
	});

	it('never gives one id to two keys', () => {
		const step = fc.tuple(
			fc.constantFrom('acquire', 'release', 'settle'),
			fc.constantFrom(...'abcdef'),
			fc.nat(1500),
		);
		fc.assert(
			fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
				const pool = new IdPool(5);
				const held = new Map<string, number>();
				let now = 0;
				for (const [what, key, ms] of steps) {
					now += ms;
					if (what === 'settle') pool.settle(now);
					if (what === 'release' && held.delete(key)) pool.release(key);
					if (what !== 'acquire') continue;
					const id = pool.acquire(key, now);
					if (id === undefined) continue;
					expect(held.get(key) ?? id).toBe(id);
					held.set(key, id);
					expect(new Set(held.values()).size).toBe(held.size);
				}
			}),
		);
	});
});

describe('TableSpace', () => {
	it('takes the first hole that is large enough, and a new segment when there is none', () => {
		const space = new TableSpace(64, 2);
		expect([space.allocate(40, 0), space.allocate(40, 0), space.allocate(16, 0)]).toEqual([0, 1 << 16, 40]);
		expect(space.segments).toBe(2);
		expect(space.allocate(40, 0)).toBeUndefined();
		expect(space.allocate(65, 0)).toBeUndefined();
	});

	it('gives a released region away only after it was acknowledged and has rested', () => {
		const space = new TableSpace(64, 1);
		const ref = space.allocate(64, 0)!;
		space.release(ref, 64);
		expect(space.allocate(1, 10_000)).toBeUndefined();
		space.settle(10_000);
		expect(space.allocate(1, 10_999)).toBeUndefined();
		expect(space.allocate(64, 11_000)).toBe(0);
	});

	it('reserves what the kernel uses, once, and nothing beyond a segment', () => {
		const space = new TableSpace(64, 2);
		expect(space.reserve((1 << 16) | 8, 16)).toBe(true);
		expect(space.reserve((1 << 16) | 20, 8)).toBe(false);
		expect(space.reserve(60, 8)).toBe(false);
		expect(space.reserve(2 << 16, 8)).toBe(false);
		expect([space.allocate(64, 0), space.allocate(40, 0), space.allocate(8, 0)]).toEqual([
			0,
			(1 << 16) | 24,
			1 << 16,
		]);
	});

	it('never overlaps, and is one hole for each segment when all is free again', () => {
		fc.assert(
			fc.property(
				fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 20 })), { maxLength: 80 }),
				(steps) => {
					const space = new TableSpace(32, 3);
					const used: { ref: number; length: number }[] = [];
					let now = 0;
					for (const [take, length] of steps) {
						now += 2 * REST_MS;
						if (take) {
							const ref = space.allocate(length, now);
							if (ref !== undefined) used.push({ ref, length });
						} else {
							const [gone] = used.splice(length % Math.max(used.length, 1), 1);
							if (gone) space.release(gone.ref, gone.length);
							space.settle(now);
						}
						const sorted = used.toSorted((a, b) => a.ref - b.ref);
						for (const [i, { ref, length }] of sorted.entries()) {
							expect((ref & 0xffff) + length).toBeLessThanOrEqual(32);
							const next = sorted[i + 1];
							if (next) expect(ref + length).toBeLessThanOrEqual(next.ref);
						}
					}
					for (const { ref, length } of used) space.release(ref, length);
					space.settle(now);
					for (let i = 0; i < 3; i++) expect(space.allocate(32, now + 2 * REST_MS)).toBe(i << 16);
				},
			),
		);
	});
});
