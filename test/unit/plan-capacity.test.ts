import { describe, expect, it } from 'vitest';
import { service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

/**
 * Objects of Service i. A smaller i is older. Each needs two frontends, one backend, 16 chunks for
 * a table and one for its backends.
 */
const objects = (i: number): [Record<string, object>, Record<string, object>] => {
	const key = `default/s${i}`;
	const meta = { creationTimestamp: `2026-01-0${i}T00:00:00Z` };
	return [
		{ [key]: service(key, { ips: [`10.96.0.${i}`], meta }) },
		{ [key]: slice(`s${i}`, [`10.244.0.${i}`]) },
	];
};
const served = (rig: Rig) =>
	rig.reconciler
		.services()
		.filter((s) => s.refused === undefined && s.frontends.length > 0)
		.map((s) => s.service);

describe('Admission', () => {
	it.each([
		['frontends', { frontends: 5 }, 'needs 2 frontends, 1 of 5 are left; older Services are kept'],
		['backends', { backends: 3 }, 'needs 1 backends, 0 of 2 are left; older Services are kept'],
		[
			'table memory',
			{ chunks: 17, segments: 2 },
			'needs 17 chunks of table memory, 0 of 34 are left; older Services are kept',
		],
	])('refuses whole Services when %s are used up, and keeps the oldest', (_what, limits, reason) => {
		for (const order of [
			[1, 2, 3],
			[3, 1, 2],
		]) {
			const rig = new Rig({ limits });
			for (const i of order) rig.add(...objects(i));
			rig.listed().sync();
			expect(served(rig)).toEqual(['default/s1', 'default/s2']);
			expect(rig.reconciler.snapshot().problems).toEqual([
				{ object: 'Service default/s3', field: '', message: `is not served: ${reason}` },
			]);
			expect(rig.reconciler.services()[2]).toMatchObject({
				service: 'default/s3',
				refused: reason,
				frontends: [],
			});
		}
	});

	it('gives way to an older Service, and serves the refused one when there is room again', () => {
		const rig = new Rig({ limits: { frontends: 4 } })
			.add(...objects(2))
			.add(...objects(3))
			.listed()
			.sync();
		expect(served(rig)).toEqual(['default/s2', 'default/s3']);
		rig.add(...objects(1)).sync();
		expect(served(rig)).toEqual(['default/s1', 'default/s2']);
		rig.sinks.services.remove('default/s2');
		rig.sync();
		expect(served(rig)).toEqual(['default/s1', 'default/s3']);
		expect(rig.reconciler.snapshot().problems).toEqual([]);
	});

	it('waits for the rest of ids when the map is full of resting ones, then serves', () => {
		const rig = new Rig({ limits: { backends: 2 } }).add(...objects(1)).listed();
		const stop = new AbortController();
		void rig.reconciler.run(stop.signal);
		rig.clock.advance(0);
		rig.clock.advance(50);
		rig.sinks.services.remove('default/s1');
		rig.add(...objects(2));
		rig.clock.advance(10);
		expect(served(rig)).toEqual([]);
		expect(rig.reconciler.snapshot().problems[0]?.message).toContain(
			'no id is left for backend 10.244.0.2:8080/tcp',
		);
		rig.clock.advance(3000);
		expect(served(rig)).toEqual(['default/s2']);
		expect(rig.reconciler.snapshot().problems).toEqual([]);
		stop.abort();
	});

	it('counts one table for all addresses of a Service port, and none for two Services', () => {
		const rig = new Rig({ limits: { chunks: 17, segments: 2 } });
		for (let i = 1; i <= 3; i++)
			rig.add(objects(i)[0], { [`default/s${i}`]: slice(`s${i}`, ['10.244.0.1']) });
		rig.listed().sync();
		expect(served(rig)).toEqual(['default/s1', 'default/s2']);
		expect(rig.reconciler.snapshot().counts).toMatchObject({ tables: 2, backends: 2, tableChunks: 34 });
	});

	it('counts a frontend that two Services ask for once', () => {
		const [first] = objects(1);
		const same = service('default/s2', { ips: ['10.96.0.1'] });
		const rig = new Rig({ limits: { frontends: 2 } })
			.add({ ...first, 'default/s2': same })
			.listed()
			.sync();
		expect(rig.reconciler.services().map(({ refused }) => refused)).toEqual([undefined, undefined]);
	});
});

describe('Claims', () => {
	const claim = (i: number) => {
		const [services] = objects(i);
		const spec = { externalIPs: ['198.51.100.1'] };
		const key = `default/s${i}`;
		return {
			[key]: service(key, {
				ips: [`10.96.0.${i}`],
				spec,
				meta: (services[key] as { metadata: object }).metadata,
			}),
		};
	};
	const owner = (rig: Rig) => /service (\S+)/.exec(rig.lineOf('frontend 198.51.100.1:80/tcp external'))?.[1];

	it('gives an address to the oldest Service, to the next one when it is freed, back when it returns (F-41)', () => {
		const rig = new Rig()
			.add({ ...claim(3), ...claim(2) })
			.listed()
			.sync();
		expect(owner(rig)).toBe('default/s2:80/tcp');
		rig.add(claim(1)).sync();
		expect(owner(rig)).toBe('default/s1:80/tcp');
		expect(rig.reconciler.snapshot().problems.map((p) => p.object)).toEqual([
			'Service default/s2',
			'Service default/s3',
		]);
		rig.sinks.services.remove('default/s1');
		rig.sync();
		expect(owner(rig)).toBe('default/s2:80/tcp');
		rig.add(objects(2)[0]).sync();
		expect(owner(rig)).toBe('default/s3:80/tcp');
		expect(rig.reconciler.snapshot().problems).toEqual([]);
	});

	it('never takes a ClusterIP away for an external IP, however old that is', () => {
		const thief = service('default/s1', { ips: ['10.96.0.1'], spec: { externalIPs: ['10.96.0.2'] } });
		const rig = new Rig().add({ 'default/s1': thief }).add(objects(2)[0]).listed().sync();
		expect(rig.lineOf('frontend 10.96.0.2:80/tcp internal')).toContain('clusterip service default/s2:80/tcp');
		expect(rig.reconciler.snapshot().problems).toEqual([
			{
				object: 'Service default/s1',
				field: '',
				message:
					'10.96.0.2:80/tcp is served for Service default/s2; give one of them another address or port',
			},
		]);
	});

	it('writes the frontend over, without a moment in which nobody has it', () => {
		const rig = new Rig()
			.add({ ...claim(2), ...claim(1) })
			.listed()
			.sync();
		rig.maps.kernel.take();
		rig.sinks.services.remove('default/s1');
		rig.sync();
		const deleted = rig.maps.kernel.take().filter((w) => w.operation === 'delete' && w.map === 'frontends');
		expect(deleted).toHaveLength(2);
		expect(owner(rig)).toBe('default/s2:80/tcp');
	});
});
