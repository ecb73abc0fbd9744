import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Sink } from '../../agent/base/sink.ts';
import { Reflector } from '../../agent/kube/reflector.ts';
import { type RawObject, SERVICES } from '../../agent/kube/resources.ts';
import { openTransport, type RequestSample, type Transport } from '../../agent/kube/transport.ts';
import { silent } from '../support/log.ts';
import {
	bookmark,
	event,
	FakeApiServer,
	FakeClock,
	list,
	object,
	raw,
	status,
	watch,
} from './kube-fake-server.ts';

const PATH = '/api/v1/services';
const SELECTOR = 'labelSelector=!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name';
const listOf = (query: string): string => {
	const all = [SELECTOR, ...query.split('&')].sort();
	return `${PATH}?${all.join('&')}`;
};
// random() = 0.5: watches of 450 s, delays of 1.5 times the base
const watchFrom = (version: number | string): string =>
	`${PATH}?allowWatchBookmarks=true&${SELECTOR}&resourceVersion=${version}&timeoutSeconds=450&watch=true`;
const FIRST_LIST = listOf('limit=500&resourceVersion=0');

class StoreSink implements Sink {
	readonly calls: string[] = [];
	readonly objects = new Map<string, RawObject>();
	upsert(key: string, value: RawObject): void {
		this.calls.push(`upsert ${key}@${value.metadata.resourceVersion}`);
		this.objects.set(key, value);
	}
	remove(key: string): void {
		this.calls.push(`remove ${key}`);
		this.objects.delete(key);
	}
	listed(): void {
		this.calls.push('listed');
	}
	get state(): string[] {
		return [...this.objects].map(([key, o]) => `${key}@${o.metadata.resourceVersion}`).sort();
	}
}

describe('Reflector', () => {
	let server: FakeApiServer;
	let sink: StoreSink;
	let clock: FakeClock;
	let transport: Transport;
	let reflector: Reflector;
	let stop: AbortController;
	let running: Promise<void>;
	let samples: RequestSample[];
	let warnings: object[];

	async function start(pageSize?: number): Promise<void> {
		const url = await server.listen();
		transport = openTransport({ server: url, options: async () => ({}) }, (s) => samples.push(s));
		const log = { ...silent, warn: (fields: object) => void warnings.push(fields) };
		const options = { resource: SERVICES, transport, sink, clock, random: () => 0.5, log };
		reflector = new Reflector(pageSize ? { ...options, pageSize } : options);
		running = reflector.run(stop.signal);
	}

	const requested = (...expected: string[]): Promise<void> =>
		vi.waitFor(() => expect(server.requests).toEqual(expected), { timeout: 5000 });
	const holds = (...expected: string[]): Promise<void> =>
		vi.waitFor(() => expect(sink.state).toEqual(expected), { timeout: 5000 });

	beforeEach(() => {
		server = new FakeApiServer();
		sink = new StoreSink();
		clock = new FakeClock();
		stop = new AbortController();
		samples = [];
		warnings = [];
	});

	afterEach(async () => {
		stop.abort();
		await running;
		transport.close();
		await server.close();
	});

	it('lists from the cache, then watches with bookmarks and a server time-out', async () => {
		server.script(PATH, list('10', [object('a', 5), object('b', 7)]));
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		expect(sink.calls).toEqual(['upsert default/a@5', 'upsert default/b@7', 'listed']);
		server.push(PATH, event('ADDED', object('c', 11)), event('MODIFIED', object('a', 12)));
		server.push(PATH, event('DELETED', object('b', 13)));
		await holds('default/a@12', 'default/c@11');
		expect(server.requests).toHaveLength(2);
		expect(reflector.state).toMatchObject({ listed: true, lists: 1, watches: 1, events: 3 });
	});

	it('reads a list page by page and passes it on as listed once complete', async () => {
		server.script(
			PATH,
			list('10', [object('a', 1), object('b', 2)], 'page2'),
			list('10', [object('c', 3), object('d', 4)], 'page3'),
			list('10', [object('e', 5)]),
		);
		await start(2);
		await requested(
			listOf('limit=2&resourceVersion=0'),
			listOf('continue=page2&limit=2'),
			listOf('continue=page3&limit=2'),
			watchFrom(10),
		);
		expect(sink.calls.at(-1)).toBe('listed');
		expect(sink.calls.filter((call) => call === 'listed')).toHaveLength(1);
		expect(sink.state).toHaveLength(5);
	});

	it('starts the list again, whole, when its continue token has expired', async () => {
		server.script(
			PATH,
			list('10', [object('a', 1), object('b', 2)], 'page2'),
			status(410, 'Expired', 'The provided continue parameter is too old'),
			list('20', [object('b', 2), object('c', 15)]),
		);
		await start(2);
		await requested(
			listOf('limit=2&resourceVersion=0'),
			listOf('continue=page2&limit=2'),
			`${PATH}?${SELECTOR}`,
			watchFrom(20),
		);
		// b was in the incomplete first list and has not changed. a is missing from the complete list
		expect(sink.calls).toEqual([
			'upsert default/a@1',
			'upsert default/b@2',
			'upsert default/c@15',
			'remove default/a',
			'listed',
		]);
	});

	it('goes on from the last event after a reset, without a list', async () => {
		server.script(PATH, list('10', [object('a', 1)]), watch([event('ADDED', object('b', 11))], 'reset'));
		await start();
		await requested(FIRST_LIST, watchFrom(10), watchFrom(11));
		server.push(PATH, event('DELETED', object('a', 12)));
		await holds('default/b@11');
		expect(clock.skipped).toEqual([1200]);
	});

	it('goes on from the last bookmark', async () => {
		server.script(PATH, list('10', []), watch([bookmark(40), bookmark(55)], 'close'));
		await start();
		await requested(FIRST_LIST, watchFrom(10), watchFrom(55));
		expect(sink.calls).toEqual(['listed']);
	});

	it('lists at the last version, as a difference, when the watch answers 410', async () => {
		server.script(
			PATH,
			list('10', [object('a', 1), object('b', 2), object('c', 3)]),
			status(410, 'Expired', 'too old resource version'),
			list('30', [object('a', 1), object('b', 25), object('d', 26)]),
		);
		await start();
		await requested(FIRST_LIST, watchFrom(10), listOf('resourceVersion=10'), watchFrom(30));
		expect(sink.calls.slice(4)).toEqual([
			'upsert default/b@25',
			'upsert default/d@26',
			'remove default/c',
			'listed',
		]);
		expect(warnings).toEqual([]);
		// The server may have restarted, and a delay would keep new Services unserved
		expect(clock.skipped).toEqual([]);
	});

	it('waits between lists when what was just listed has expired again', async () => {
		const gone = () => status(410, 'Expired', 'too old resource version');
		server.script(PATH, list('10', []), gone(), list('20', []), gone(), list('30', []));
		await start();
		await requested(
			FIRST_LIST,
			watchFrom(10),
			listOf('resourceVersion=10'),
			watchFrom(20),
			listOf('resourceVersion=20'),
			watchFrom(30),
		);
		expect(clock.skipped).toHaveLength(1);
	});

	it('lists again when an ERROR event says 410', async () => {
		const gone = event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
		server.script(
			PATH,
			list('10', [object('a', 1)]),
			watch([event('ADDED', object('b', 12)), gone]),
			list('40', [object('b', 12)]),
		);
		await start();
		await requested(FIRST_LIST, watchFrom(10), listOf('resourceVersion=12'), watchFrom(40));
		expect(sink.calls).toEqual([
			'upsert default/a@1',
			'listed',
			'upsert default/b@12',
			'remove default/a',
			'listed',
		]);
	});

	it('lists without a version when the server is behind the last one', async () => {
		server.script(
			PATH,
			list('1000', [object('a', 900)]),
			status(504, 'Timeout', 'Too large resource version: 1000, current: 50'),
			status(504, 'Timeout', 'Too large resource version: 1000, current: 50'),
			list('50', [object('a', 45)]),
		);
		await start();
		await requested(
			FIRST_LIST,
			watchFrom(1000),
			listOf('resourceVersion=1000'),
			listOf('limit=500'),
			watchFrom(50),
		);
		expect(sink.state).toEqual(['default/a@45']);
	});

	it('connects again after 150 s without a byte', async () => {
		server.script(PATH, list('10', [object('a', 1)]));
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		await vi.waitFor(() => expect(reflector.state.watches).toBe(1));
		clock.advance(149_000);
		server.push(PATH, bookmark(20));
		await vi.waitFor(() => expect(reflector.state.events).toBe(1));
		clock.advance(149_000);
		expect(server.requests).toHaveLength(2);
		clock.advance(1_000);
		await requested(FIRST_LIST, watchFrom(10), watchFrom(20));
		// the connection worked for 299 s, so there is no delay and no list
		expect(clock.skipped).toEqual([]);
		expect(sink.calls).toEqual(['upsert default/a@1', 'listed']);
	});

	it('does not give up a list that is slow but moving', async () => {
		const text = JSON.stringify({ metadata: { resourceVersion: '10' }, items: [object('a', 1)] });
		let write: ((part: string) => void) | undefined;
		let end: (() => void) | undefined;
		server.script(PATH, (response) => {
			response.writeHead(200).flushHeaders();
			write = (part) => response.write(part);
			end = () => response.end();
		});
		await start();
		await vi.waitFor(() => expect(write).toBeDefined());
		for (let at = 0; at < text.length; at += 40) {
			await new Promise((resolve) => setTimeout(resolve, 30));
			clock.advance(100_000);
			write?.(text.slice(at, at + 40));
		}
		await new Promise((resolve) => setTimeout(resolve, 30));
		end?.();
		await holds('default/a@1');
		expect(server.requests[0]).toBe(FIRST_LIST);
		expect(warnings).toEqual([]);
	});

	it('ends the stream and lists when an event is not JSON', async () => {
		const broken: string = `${JSON.stringify(event('ADDED', object('b', 11)))}\n{"type":"ADDED","obj\n`;
		server.script(
			PATH,
			list('10', [object('a', 1)]),
			(response) => {
				response.writeHead(200);
				response.write(broken);
			},
			list('30', [object('a', 1), object('b', 11), object('c', 12)]),
		);
		await start();
		await requested(FIRST_LIST, watchFrom(10), listOf('resourceVersion=11'), watchFrom(30));
		expect(sink.state).toEqual(['default/a@1', 'default/b@11', 'default/c@12']);
		expect(sink.calls).not.toContain('remove default/a');
	});

	it('keeps what it has when a list is not JSON or no list', async () => {
		server.script(
			PATH,
			list('10', [object('a', 1)]),
			status(410, 'Expired'),
			raw('<html>gateway</html>'),
			raw('{"items":null}'),
			list('11', [object('a', 1)]),
		);
		await start();
		const relist = listOf('resourceVersion=10');
		await requested(FIRST_LIST, watchFrom(10), relist, relist, relist, watchFrom(11));
		expect(sink.calls).toEqual(['upsert default/a@1', 'listed', 'listed']);
	});

	it('passes a duplicate event on once and ignores one older than what is known', async () => {
		server.script(PATH, list('10', [object('a', 5)]));
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		server.push(
			PATH,
			event('MODIFIED', object('a', 12)),
			event('MODIFIED', object('a', 12)),
			event('MODIFIED', object('a', 9)),
			event('ADDED', object('z', 13)),
		);
		await holds('default/a@12', 'default/z@13');
		expect(sink.calls.filter((call) => call.includes('/a'))).toEqual([
			'upsert default/a@5',
			'upsert default/a@12',
		]);
	});

	it('takes an object made anew under the same name though its version looks older', async () => {
		server.script(PATH, list('10', [object('a', 5)]));
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		const anew = object('a', 3);
		server.push(PATH, event('MODIFIED', { ...anew, metadata: { ...anew.metadata, uid: 'other' } }));
		await holds('default/a@3');
	});

	it('outlives a server that goes away and comes back, and deletes nothing meanwhile', async () => {
		server.script(PATH, list('10', [object('a', 1)]));
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		await server.close();
		await vi.waitFor(() => expect(clock.skipped.length).toBeGreaterThan(6));
		expect(clock.skipped.slice(0, 7)).toEqual([1200, 2400, 4800, 7500, 7500, 7500, 7500]);
		expect(sink.state).toEqual(['default/a@1']);
		expect(reflector.state.error).toContain('ECONNREFUSED');
		await server.listen();
		await requested(FIRST_LIST, watchFrom(10), watchFrom(10));
		server.push(PATH, event('ADDED', object('b', 12)));
		await holds('default/a@1', 'default/b@12');
		expect(reflector.state.error).toBeUndefined();
	});

	it('waits as long as Retry-After says and does not list for a busy server', async () => {
		server.script(
			PATH,
			list('10', []),
			status(429, 'TooManyRequests', 'slow down', { 'retry-after': '7' }),
			watch([event('ADDED', object('a', 11))]),
		);
		await start();
		await requested(FIRST_LIST, watchFrom(10), watchFrom(10));
		expect(clock.skipped).toEqual([7000]);
		await holds('default/a@11');
	});

	it('names a refusal in its state and in the log', async () => {
		server.script(
			PATH,
			status(403, 'Forbidden', 'services is forbidden: User "x" cannot list'),
			list('1', []),
		);
		await start();
		await requested(FIRST_LIST, FIRST_LIST, watchFrom(1));
		expect(warnings).toEqual([
			{
				resource: 'services',
				error: 'List of services: 403 Forbidden: services is forbidden: User "x" cannot list',
				relist: false,
			},
		]);
		expect(samples.map((s) => s.code)).toEqual(['403', '200', '200']);
	});

	it('passes over what is no object and goes on', async () => {
		server.script(PATH, list('10', [{ metadata: {} }, object('a', 1), { spec: {} }]));
		await start();
		await holds('default/a@1');
		await requested(FIRST_LIST, watchFrom(10));
		server.push(PATH, event('ADDED', { metadata: { name: 7 } }), event('ADDED', object('__proto__', 12)));
		await holds('default/__proto__@12', 'default/a@1');
		expect(reflector.state.malformed).toBe(3);
		expect(warnings).toHaveLength(3);
	});

	it('goes on when the sink throws', async () => {
		server.script(PATH, list('10', [object('bad', 1), object('good', 2)]));
		const upsert = sink.upsert.bind(sink);
		sink.upsert = (key, value) => {
			if (key === 'default/bad') throw new Error('no such thing');
			upsert(key, value);
		};
		await start();
		await requested(FIRST_LIST, watchFrom(10));
		expect(sink.state).toEqual(['default/good@2']);
		expect(warnings).toEqual([{ resource: 'services', object: 'default/bad', error: 'no such thing' }]);
	});

	it('drops the fields that are never read', async () => {
		const annotations = {
			'kubectl.kubernetes.io/last-applied-configuration': 'x'.repeat(1000),
			'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z',
		};
		const metadata = { ...object('a', 1).metadata, managedFields: [{ manager: 'kubectl' }], annotations };
		server.script(PATH, list('10', [{ metadata, spec: { clusterIP: '10.96.0.1' } }]));
		await start();
		await holds('default/a@1');
		expect(sink.objects.get('default/a')).toEqual({
			metadata: {
				...object('a', 1).metadata,
				annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': '2026-01-01T00:00:00Z' },
			},
			spec: { clusterIP: '10.96.0.1' },
		});
	});

	it('splits events at newlines wherever the bytes are cut', async () => {
		const named = object('a', 11, { spec: { note: 'Zürich → 東京' } });
		const bytes = Buffer.from(`${JSON.stringify(event('ADDED', named))}\n${JSON.stringify(bookmark(30))}\n`);
		server.script(PATH, list('10', []), (response) => {
			response.writeHead(200);
			response.socket?.setNoDelay(true);
			const send = (at: number): void => {
				if (at >= bytes.length) return;
				response.write(bytes.subarray(at, at + 7));
				setImmediate(() => send(at + 7));
			};
			send(0);
		});
		await start();
		await holds('default/a@11');
		expect(sink.objects.get('default/a')).toEqual(named);
	});
});
