import type { ServerResponse } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { Backoff } from '../../agent/kube/backoff.ts';
import { Reflector } from '../../agent/kube/reflector.ts';
import { SERVICES } from '../../agent/kube/resources.ts';
import { openTransport } from '../../agent/kube/transport.ts';
import { silent } from '../support/log.ts';
import { FakeApiServer, FakeClock, list } from './kube-fake-server.ts';

const PATH = '/api/v1/services';

describe('Backoff', () => {
	/** Delays in ms after connections that lasted the given times. */
	const delays = (how: 'orderly' | 'failed' | 'absent', ...lasted: (number | undefined)[]) => {
		let now = 0;
		const backoff = new Backoff({ now: () => now, after: () => () => {} }, () => 0);
		return lasted.map((ms) => {
			const begin = now;
			now += ms ?? 0;
			return backoff.next(ms === undefined ? undefined : begin, how);
		});
	};

	it('grows while connections fail, and begins anew after one of two minutes', () => {
		expect(delays('failed', undefined, 5000, 119_999, 120_000, 0)).toEqual([800, 1600, 3200, 0, 800]);
	});

	it('stays short while no server answers, and is as long as before when one refuses then', () => {
		const absent = Array.from({ length: 8 }, () => undefined);
		expect(delays('absent', ...absent)).toEqual([800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
		expect(delays('failed', ...absent)).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
	});

	it('waits for nothing where the server ends them in good order, unless at once', () => {
		expect(delays('orderly', 30_000, 30_000, 999, 0, 1000, 0)).toEqual([0, 0, 800, 1600, 0, 800]);
	});
});

describe('Reflector', () => {
	it('is blind for no time when a load balancer ends its watch every 30 s (C2)', async () => {
		const server = new FakeApiServer();
		const clock = new FakeClock();
		const stop = new AbortController();
		let watching: ServerResponse | undefined;
		const open = (response: ServerResponse): void => {
			response.writeHead(200).flushHeaders();
			watching = response;
		};
		server.script(PATH, list('10', []), ...Array.from({ length: 20 }, () => open));
		const nothing = () => {};
		const transport = openTransport({ server: await server.listen(), options: async () => ({}) }, nothing);
		const reflector = new Reflector({
			...{ resource: SERVICES, transport, clock, random: () => 0.5 },
			sink: { upsert: nothing, remove: nothing, listed: nothing },
			log: silent,
		});
		const running = reflector.run(stop.signal);
		for (let i = 1; i < 20; i++) {
			await vi.waitFor(() => expect(reflector.state.watches).toBe(i));
			clock.advance(30_000);
			watching!.end();
		}
		await vi.waitFor(() => expect(reflector.state.watches).toBe(20));
		expect([reflector.state.lists, clock.skipped]).toEqual([1, []]);
		stop.abort();
		await running;
		transport.close();
		await server.close();
	});
});
