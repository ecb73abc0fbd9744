import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Clock } from '../../agent/base/clock.ts';
import { Reflector } from '../../agent/kube/reflector.ts';
import { type RawObject, SERVICES } from '../../agent/kube/resources.ts';
import { openTransport, type Transport } from '../../agent/kube/transport.ts';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { silent } from '../support/log.ts';
import { credentials, ownerTls } from './api-credentials.ts';

/** Real time, with waits of at most 20 ms and no stalls. */
const hasty: Clock = {
	now: () => performance.now(),
	after(ms, run) {
		if (ms > 60_000) return () => {};
		const timer = setTimeout(run, Math.min(ms, 20));
		return () => clearTimeout(timer);
	},
};

function service(name: string, labels: Record<string, string> = {}, port = 80) {
	const ports = [{ name: 'http', port, protocol: 'TCP' }];
	return {
		apiVersion: 'v1',
		kind: 'Service',
		metadata: { namespace: 'default', name, labels },
		spec: { ports },
	};
}

describe('Reflector against the standalone API server', () => {
	let api: Api;
	/** Port of the first server of a test. The next server reuses it. */
	let port = 0;
	let transport: Transport;
	let stop: AbortController;
	let running: Promise<void>;
	let reflector: Reflector;
	let held: Map<string, RawObject>;
	let calls: string[];

	async function startApi(history = 10_000): Promise<void> {
		api = createApi({ credentials, history, bookmarkInterval: 50 });
		const listening = await api.listen({ port });
		port = listening.port!;
	}

	function watch(pageSize = 500): void {
		stop = new AbortController();
		held = new Map();
		calls = [];
		const server = new URL(`https://127.0.0.1:${port}`);
		transport = openTransport({ server, options: async () => ownerTls });
		const sink = {
			upsert: (key: string, object: RawObject) => {
				calls.push(`upsert ${key}`);
				held.set(key, object);
			},
			remove: (key: string) => {
				calls.push(`remove ${key}`);
				held.delete(key);
			},
			listed: () => void calls.push('listed'),
		};
		reflector = new Reflector({
			resource: SERVICES,
			transport,
			sink,
			clock: hasty,
			random: Math.random,
			log: silent,
			pageSize,
		});
		running = reflector.run(stop.signal);
	}

	/**
	 * Waits until the sink has the objects of the API's own list, except those that the selector
	 * excludes.
	 */
	const agrees = (): Promise<void> =>
		vi.waitFor(
			() => {
				const expected = api.objects
					.list('services')
					.filter((o) => o.metadata.labels?.['service.kubernetes.io/service-proxy-name'] === undefined)
					.map((o) => `${o.metadata.namespace}/${o.metadata.name}@${o.metadata.resourceVersion}`);
				const found = [...held].map(([key, o]) => `${key}@${o.metadata.resourceVersion}`);
				expect(found.sort()).toEqual(expected.sort());
			},
			{ timeout: 5000 },
		);

	afterEach(async () => {
		stop.abort();
		await running;
		transport.close();
		await api.close();
		port = 0;
	});

	it('holds what the server has, page by page and change by change', async () => {
		await startApi();
		for (let i = 0; i < 12; i++) api.objects.create('services', service(`svc-${i}`));
		watch(5);
		await agrees();
		api.objects.create('services', service('later'));
		api.objects.delete('services', 'default', 'svc-3');
		await agrees();
		expect(reflector.state).toMatchObject({ lists: 1, malformed: 0 });
		expect(calls.filter((call) => call === 'listed')).toHaveLength(1);
	});

	it('lets go of a Service that another proxy takes over, and takes it back', async () => {
		await startApi();
		const other = { 'service.kubernetes.io/service-proxy-name': 'other' };
		api.objects.create('services', service('mine'));
		api.objects.create('services', service('theirs', other));
		watch();
		await agrees();
		expect(held.has('default/theirs')).toBe(false);
		const label = (name: string, labels: Record<string, string>): void => {
			const object = structuredClone(api.objects.get('services', 'default', name)!);
			object.metadata.labels = labels;
			api.objects.update('services', object);
		};
		label('mine', other);
		label('theirs', {});
		await agrees();
		expect([held.has('default/mine'), held.has('default/theirs')]).toEqual([false, true]);
	});

	it('outlives a restart of the server that has other objects and other versions', async () => {
		await startApi();
		api.objects.create('services', service('stays'));
		api.objects.create('services', service('goes'));
		watch();
		await agrees();
		await api.close();
		await startApi();
		api.objects.create('services', service('stays'));
		api.objects.create('services', service('comes'));
		await agrees();
		expect(calls).toContain('remove default/goes');
		expect(held.has('default/comes')).toBe(true);
	});

	it('ends where the server does after a storm of changes, with a history too short for it', async () => {
		await startApi(8);
		watch();
		await agrees();
		let seed = 42;
		const random = (n: number): number => {
			seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
			return seed % n;
		};
		for (let i = 0; i < 400; i++) {
			const name = `svc-${random(20)}`;
			const there = api.objects.get('services', 'default', name);
			if (!there) api.objects.create('services', service(name));
			else if (random(2)) api.objects.delete('services', 'default', name);
			else {
				const changed = structuredClone(there);
				changed.spec.ports![0]!.port = 1 + random(60_000);
				api.objects.update('services', changed);
			}
			if (i % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
		}
		await agrees();
	});
});
