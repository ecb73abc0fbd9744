import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createQueue, type Sync } from '../../standalone/controllers/queue.ts';
import { ManualClock } from './controller-cluster.ts';

function setUp(sync: Sync) {
	const clock = new ManualClock();
	const abort = new AbortController();
	const log = pino({ level: 'silent' });
	const queue = createQueue({ name: 'test', sync, clock, log, signal: abort.signal });
	const settle = async () => {
		do await new Promise(setImmediate);
		while (!queue.idle());
	};
	return { clock, abort, queue, settle };
}

describe('createQueue()', () => {
	it('syncs a key once for many adds, and again when it is added meanwhile', async () => {
		const seen: string[] = [];
		const { queue, settle } = setUp((key) => {
			seen.push(key);
			if (seen.length === 1) queue.add('a');
		});
		for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
		await settle();
		expect(seen).toEqual(['a', 'b', 'a']);
	});

	it('tells since when the key has been waiting', async () => {
		const since: number[] = [];
		const { queue, clock, settle } = setUp((_key, dirtySince) => void since.push(dirtySince));
		const start = clock.now();
		queue.add('a');
		clock.advance(50);
		queue.add('a');
		await settle();
		expect(since).toEqual([start]);
	});

	it('never syncs two keys at the same time', async () => {
		let running = 0;
		const { queue, settle } = setUp(async () => {
			expect(++running).toBe(1);
			await new Promise(setImmediate);
			running--;
		});
		for (const key of ['a', 'b', 'c']) queue.add(key);
		await settle();
		expect(running).toBe(0);
	});

	it('repeats a failed sync with doubling delay and others are not held up', async () => {
		const at: number[] = [];
		let others = 0;
		const { queue, clock, settle } = setUp((key) => {
			if (key === 'other') others++;
			else if (at.push(clock.now()) < 4) throw new Error('Not yet');
		});
		const start = clock.now();
		queue.add('bad');
		queue.add('other');
		for (let i = 0; i < 60; i++) {
			await settle();
			clock.advance(1);
		}
		expect(at.map((time) => time - start)).toEqual([0, 5, 15, 35]);
		expect(others).toBe(1);
	});

	it('keeps the earliest of several delays and stops with its signal', async () => {
		const seen: string[] = [];
		const { queue, clock, abort, settle } = setUp((key) => void seen.push(key));
		queue.addAfter('a', 100);
		queue.addAfter('a', 10);
		queue.addAfter('a', 50);
		clock.advance(10);
		await settle();
		clock.advance(200);
		await settle();
		expect(seen).toEqual(['a']);
		queue.addAfter('b', 10);
		abort.abort();
		clock.advance(20);
		queue.add('c');
		await settle();
		expect(seen).toEqual(['a']);
	});
});
