import { describe, expect, it } from 'vitest';
import { backendCodec, frontendCodec } from '../../agent/abi/layout.ts';
import { u32Bytes, u32Of } from '../../agent/abi/u32.ts';

import { tableContent } from '../../agent/plan/table-content.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const WEB = { 'default/web': service('default/web', { ips: ['10.96.0.1', 'fd00:10:96::1'] }) };
const WEB_SLICES = {
	'default/web-4': slice('web', [{ ip: '10.244.1.2', node: 'node1' }, '10.244.2.2']),
	'default/web-6': slice('web', ['fd00:244:1::2']),
};

function web(): Rig {
	return new Rig().add(WEB, WEB_SLICES).listed().sync();
}

describe('Reconciler', () => {
	it('writes nothing before every resource has been listed and the node is known', () => {
		const rig = new Rig().add(WEB, WEB_SLICES);
		expect(rig.reconciler.sync()).toBeUndefined();
		rig.sinks.services.listed();
		rig.sinks.endpoints.listed();
		rig.sinks.node.listed();
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.maps.kernel.journal).toEqual([]);
		rig.listed();
		expect(rig.reconciler.sync()?.writes.frontends).toBe(4);
	});

	it('writes backends, then tables, then frontends, and removes in the opposite order', () => {
		const rig = web();
		const order = (writes: ReturnType<typeof rig.maps.kernel.take>) => [
			...new Set(writes.filter((w) => w.operation !== 'grow').map((w) => `${w.operation} ${w.map}`)),
		];
		expect(order(rig.maps.kernel.take())).toEqual([
			'update node_settings',
			'update backends',
			'update tables_0',
			'update frontend_bits',
			'update frontends',
			'update service_addresses',
			'update address_bits',
		]);
		rig.sinks.services.remove('default/web');
		rig.sync();
		expect(order(rig.maps.kernel.take())).toEqual([
			'update address_bits',
			'delete service_addresses',
			'delete frontends',
			'update backends',
			'update frontend_bits',
		]);
		expect(rig.dump()).toBe('settings snat 192.168.10.11 fd00:10::11\n');
	});

	it('does nothing for an object that came again unchanged (B R-8)', () => {
		const rig = web();
		rig.maps.kernel.take();
		rig.add(WEB, WEB_SLICES).sync();
		expect(rig.maps.kernel.take()).toEqual([]);
	});

	it('restarts on the maps of an agent before it with 0 writes (B R-8)', () => {
		const first = web();
		first.maps.kernel.take();
		const second = new Rig({ maps: first.maps }).add(WEB, WEB_SLICES).listed().sync();
		expect(first.maps.kernel.take()).toEqual([]);
		expect(second.dump()).toBe(first.dump());
		second.sinks.services.remove('default/web');
		second.sync();
		expect(second.dump()).toBe('settings snat 192.168.10.11 fd00:10::11\n');
	});

	it('restarts with writes for the change only, and keeps ids', () => {
		const first = new Rig()
			.add(
				{ ...WEB, 'default/api': service('default/api', { ips: ['10.96.0.2'] }) },
				{ ...WEB_SLICES, 'default/api': slice('api', ['10.244.3.1']) },
			)
			.listed()
			.sync();
		const before = first.reconciler.services();
		first.maps.kernel.take();
		const api = service('default/api', { ips: ['10.96.0.2'], spec: { sessionAffinity: 'ClientIP' } });
		const second = new Rig({ maps: first.maps })
			.add({ 'default/api': api, ...WEB }, { ...WEB_SLICES, 'default/api': slice('api', ['10.244.3.1']) })
			.listed()
			.sync();
		const writes = first.maps.kernel.take();
		expect(writes.map((w) => w.map)).toEqual(['frontends', 'frontends']);
		expect(second.reconciler.services().map((s) => s.ports)).toEqual(before.map((s) => s.ports));
	});

	it('heals drift at restart and at verify() with writes for the drifted entries only (B R-8)', () => {
		for (const restart of [true, false]) {
			const rig = web();
			const dump = rig.dump();
			const [key, value] = [...rig.maps.frontends.entries()][0]!;
			rig.maps.frontends.update(key, frontendCodec.encode({ ...frontendCodec.decode(value), flags: 99 }));
			const chunk = rig.maps.tables.segment(0).lookup(u32Bytes(3))!.fill(0, 0, 4);
			rig.maps.tables.segment(0).update(u32Bytes(3), chunk);
			expect(rig.dump()).not.toBe(dump);
			rig.maps.kernel.take();
			const healed = restart ? new Rig({ maps: rig.maps }).add(WEB, WEB_SLICES).listed() : rig;
			healed.reconciler.verify();
			healed.sync();
			expect(healed.dump()).toBe(dump);
			expect(rig.maps.kernel.take().map((w) => w.map)).toEqual(['tables_0', 'frontends']);
		}
	});

	it('clears a backend that another one put there, and grows the generation when it gives the id', () => {
		const rig = new Rig();
		const stray = {
			addr: new Uint8Array(16).fill(7),
			port: 9,
			proto: 6,
			flags: 1,
			generation: 41,
			serviceId: 3,
		};
		rig.maps.backends.update(u32Bytes(1), backendCodec.encode(stray));
		rig.listed().sync();
		const cleared = backendCodec.decode(rig.maps.backends.lookup(u32Bytes(1))!);
		expect([cleared.flags, cleared.generation]).toEqual([0, 42]);
		rig.clock.advance(2000);
		rig.add(WEB, WEB_SLICES).sync();
		expect(backendCodec.decode(rig.maps.backends.lookup(u32Bytes(1))!)).toMatchObject({
			flags: 3,
			generation: 43,
		});
	});

	it('translates one Service and writes a handful when one endpoint of 10 000 Services changes (B R-8)', () => {
		const rig = new Rig({ limits: { backends: 32768 } });
		const ipOf = (i: number) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
		for (let i = 0; i < 10_000; i++) {
			const key = `default/s${i}`;
			rig.add(
				{ [key]: service(key, { ips: [ipOf(i)] }) },
				{ [key]: slice(`s${i}`, [`11.0.${i >> 8}.${i & 255}`]) },
			);
		}
		rig.listed().sync();
		expect(rig.reconciler.snapshot().counts).toMatchObject({
			services: 10_000,
			frontends: 20_000,
			backends: 10_000,
		});
		rig.maps.kernel.take();
		rig.add({}, { 'default/s77': slice('s77', ['11.0.0.77', '12.0.0.1']) });
		const report = rig.reconciler.sync();
		expect(report).toMatchObject({
			translated: 1,
			full: false,
			writes: { settings: 0, backends: 1, chunks: 17, frontends: 2, goneFrontends: 0, goneBackends: 0 },
		});
		expect(rig.maps.kernel.take()).toHaveLength(20);
	}, 60_000);

	it('translates only Services with NodePorts when the node gets another address', () => {
		const nodePort = { type: 'NodePort' };
		const ports = [{ port: 80, nodePort: 30080, protocol: 'TCP' }];
		const rig = web().add({
			'default/np': service('default/np', { ips: ['10.96.0.9'], spec: nodePort, ports }),
		});
		rig.sync();
		rig.sinks.node.upsert('node1', node(['192.168.10.99']));
		expect(rig.reconciler.sync()?.translated).toBe(1);
		expect(rig.lineOf('frontend 192.168.10.99:30080/tcp external')).toContain('nodeport');
		expect(rig.lineOf('frontend 192.168.10.11:30080')).toBe('');
		expect(rig.lineOf('frontend 127.0.0.1:30080/tcp internal')).toContain('nodeport,loopback');
		rig.sinks.node.upsert('node1', node(['192.168.10.99']));
		expect(rig.reconciler.sync()?.translated).toBe(0);
	});

	it('survives a failure at every write of the first sync: that writes again, to the same state', () => {
		const wanted = web().dump();
		const total = web().maps.kernel.journal.length;
		for (let n = 1; n <= total; n++) {
			const rig = new Rig().add(WEB, WEB_SLICES).listed();
			rig.maps.kernel.failAt(n);
			expect(rig.reconciler.sync(), `write ${n}`).toBeDefined();
			expect(rig.dump(), `write ${n}`).toBe(wanted);
			const state = { failures: 0, pendingSince: undefined, totals: { failures: 1 }, problems: [] };
			expect(rig.reconciler.snapshot(), `write ${n}`).toMatchObject(state);
		}
	});

	it('that can write nothing stays dirty, reads the kernel again, and ends in the same state', () => {
		const wanted = web().dump();
		const rig = new Rig().add(WEB, WEB_SLICES).listed();
		rig.maps.kernel.fail(() => true);
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 1, pendingSince: 0 });
		rig.maps.kernel.fail(() => false);
		rig.sync();
		expect(rig.dump()).toBe(wanted);
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 0, pendingSince: undefined });
	});

	it('survives a failure at every write of a change, also when a restart follows it', () => {
		const change = (rig: Rig) => rig.add({}, { 'default/web-4': slice('web', ['10.244.2.2', '10.244.2.3']) });
		const model = web();
		model.maps.kernel.take();
		change(model).sync();
		for (let n = 1; n <= model.maps.kernel.journal.length; n++) {
			const rig = web();
			rig.maps.kernel.failAt(n);
			expect(change(rig).reconciler.sync()).toBeDefined();
			expect(rig.reconciler.snapshot()).toMatchObject({ failures: 0, totals: { failures: 1 } });
			expect(rig.dump(), `write ${n}`).toBe(model.dump());
			const next = n % 2 ? rig : change(new Rig({ maps: rig.maps }).add(WEB, WEB_SLICES)).listed();
			expect(next.sync().dump(), `write ${n}`).toBe(model.dump());
		}
	});
});

describe('Reconciler.run()', () => {
	it('syncs at once when idle, gathers what comes in the shortest interval, backs off after failures', () => {
		const rig = new Rig().add(WEB, WEB_SLICES);
		const stop = new AbortController();
		void rig.reconciler.run(stop.signal);
		rig.listed();
		rig.clock.advance(0);
		expect(rig.reconciler.snapshot().totals.syncs).toBe(1);
		for (let i = 0; i < 50; i++) rig.add({}, { 'default/web-4': slice('web', [`10.244.9.${i + 1}`]) });
		rig.clock.advance(4);
		expect(rig.reconciler.snapshot()).toMatchObject({ pendingSince: 0, totals: { syncs: 1 } });
		rig.clock.advance(1);
		expect(rig.reconciler.snapshot()).toMatchObject({ pendingSince: undefined, totals: { syncs: 2 } });
		rig.clock.advance(1000);
		// every write fails, so the change is not the cause
		rig.maps.kernel.fail(() => true);
		rig.add({}, WEB_SLICES);
		rig.clock.advance(0);
		rig.maps.kernel.fail(() => false);
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 1, pendingSince: 1005 });
		rig.sinks.services.upsert('default/web', WEB['default/web']);
		rig.clock.advance(99);
		expect(rig.reconciler.snapshot().failures).toBe(1);
		rig.clock.advance(1);
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 0, totals: { syncs: 3, failures: 1 } });
		stop.abort();
		rig.add({}, { 'default/web-4': slice('web', ['10.244.9.9']) });
		rig.clock.advance(10_000_000);
		expect(rig.reconciler.snapshot().totals.syncs).toBe(3);
	});

	it('heals a bit of a frontend that is lost, and one that is left', () => {
		const rig = web();
		const { frontendBits } = rig.maps;
		const words = [...frontendBits.entries()];
		const used = words.find(([, value]) => value.some((byte) => byte !== 0))!;
		const free = words.find(([, value]) => value.every((byte) => byte === 0))!;
		frontendBits.update(used[0], new Uint8Array(8));
		frontendBits.update(free[0], new Uint8Array(8).fill(255));
		expect(rig.dump()).toMatch(/^frontend bits: \d+ frontends have none$/m);
		expect(rig.wrongBits()).toHaveLength(2);
		rig.reconciler.verify();
		rig.sync();
		expect(rig.wrongBits()).toEqual([]);
		expect(rig.reconciler.snapshot().totals.drift).toBe(1);
	});

	describe('the epoch of UDP frontends', () => {
		const udp = (port: number, name?: string) => [
			{ port, protocol: 'UDP', targetPort: 8080, ...(name && { name }) },
		];
		const shared = (key: string, ip: string, created: string) =>
			service(key, {
				ips: [ip],
				ports: udp(53),
				spec: { externalIPs: ['203.0.113.9'] },
				meta: { creationTimestamp: created },
			});
		const DNS = {
			'default/old': shared('default/old', '10.96.0.10', '2026-01-01T00:00:00Z'),
			'default/new': shared('default/new', '10.96.0.11', '2026-01-02T00:00:00Z'),
		};
		const slices = Object.fromEntries(
			['old', 'new'].map((name, i) => [
				`default/${name}`,
				slice(name, [`10.244.1.${i + 2}`], [{ port: 8080, protocol: 'UDP' }]),
			]),
		);
		const dns = () => new Rig().add(DNS, slices).listed().sync();
		const epochOf = (rig: Rig) => u32Of(rig.maps.frontendEpoch.lookup(new Uint8Array(4))!);
		/** Writes of frontends, and values of the epoch, in order. */
		const order = (rig: Rig) =>
			rig.maps.kernel.take().flatMap(({ operation, map, value }) => {
				if (map === 'frontend_epoch') return `epoch ${u32Of(value!)}`;
				return map === 'frontends' ? operation : [];
			});

		it('stays while frontends are added and TCP ones go', () => {
			const rig = dns().add(WEB, WEB_SLICES).sync();
			rig.sinks.services.remove('default/web');
			rig.sync();
			expect(epochOf(rig)).toBe(0);
		});

		it('is odd while one goes or changes hands, and even after that', () => {
			const rig = dns();
			rig.maps.kernel.take();
			rig.sinks.services.remove('default/old');
			rig.sync();
			const writes = order(rig);
			expect([writes[0], writes.at(-1)]).toEqual(['epoch 1', 'epoch 2']);
			expect(new Set(writes.slice(1, -1))).toEqual(new Set(['update', 'delete']));
			rig.add({ 'default/old': DNS['default/old'] }).sync();
			expect(order(rig).filter((write) => write.startsWith('epoch'))).toEqual(['epoch 3', 'epoch 4']);
		});

		it('stays odd after a write that fails, until the next agent has compared the maps', () => {
			const rig = dns();
			rig.maps.kernel.fail((map) => map === 'frontends');
			rig.sinks.services.remove('default/old');
			expect(rig.reconciler.sync()).toBeUndefined();
			expect(epochOf(rig) & 1).toBe(1);
			rig.maps.kernel.fail(() => false);
			const next = new Rig({ maps: rig.maps })
				.add({ 'default/new': DNS['default/new'] }, slices)
				.listed()
				.sync();
			expect(epochOf(next) & 1).toBe(0);
		});

		it('becomes even when nothing else differs', () => {
			const rig = dns();
			rig.maps.frontendEpoch.update(new Uint8Array(4), new Uint8Array([7, 0, 0, 0]));
			const next = new Rig({ maps: rig.maps }).add(DNS, slices).listed().sync();
			expect(epochOf(next)).toBe(8);
		});
	});

	it('heals drift by itself after the verify interval', () => {
		const rig = new Rig({ verifyIntervalMs: 60_000 }).add(WEB, WEB_SLICES);
		const stop = new AbortController();
		void rig.reconciler.run(stop.signal);
		rig.listed().clock.advance(0);
		const dump = rig.dump();
		rig.maps.frontends.delete([...rig.maps.frontends.entries()][0]![0]);
		rig.clock.advance(59_999);
		expect(rig.dump()).not.toBe(dump);
		rig.clock.advance(1);
		expect(rig.dump()).toBe(dump);
		expect(rig.reconciler.snapshot().totals.drift).toBe(1);
		expect(rig.lines.filter((l) => l.event === 'sync.drift')).toHaveLength(1);
		stop.abort();
	});

	it('resolves when the signal aborts', async () => {
		const stop = new AbortController();
		const done = new Rig().reconciler.run(stop.signal);
		stop.abort();
		await expect(done).resolves.toBeUndefined();
	});
});

describe('Reconciler log', () => {
	it('has one line for each sync, and one for each problem however often it is seen', () => {
		const rig = web();
		const bad = service('default/bad', {
			ips: ['10.96.0.300', '10.96.0.5'],
			ports: [{ port: 70000 }, { port: 53, protocol: 'SCTP' }, { port: 81 }],
		});
		rig.add({ 'default/bad': bad }).sync();
		rig.add({ 'default/bad': bad }).sync();
		const problems = rig.lines.filter((l) => l.event === 'object.problem').map((l) => l.fields);
		expect(problems).toEqual([
			{
				object: 'Service default/bad',
				field: 'spec.ports[0].port',
				message: 'is 70000, expected a port 1-65535',
			},
			{
				object: 'Service default/bad',
				field: 'spec.ports[1].protocol',
				message: 'SCTP is unsupported, use TCP or UDP',
			},
			{
				object: 'Service default/bad',
				field: 'spec.clusterIPs[0]',
				message: '"10.96.0.300" is no IP address (no spaces, no zone)',
			},
		]);
		expect(rig.lineOf('frontend 10.96.0.5:81/tcp internal')).toContain('-> none');
		expect(rig.lineOf('frontend 10.96.0.1:80/tcp internal')).toContain('2 backends');
		expect(rig.lines.filter((l) => l.event === 'sync.done')).toHaveLength(3);
		expect(rig.reconciler.snapshot().problems).toHaveLength(3);
	});
});

describe('tableContent()', () => {
	it('has the ids of the slots, then from a whole chunk on the ids of the backends', () => {
		const content = tableContent(['a', 'b', 'c'], 251, (key) => key.charCodeAt(0));
		const ids = [...new Uint32Array(content.buffer)];
		expect(ids).toHaveLength(17 * 16);
		expect(new Set(ids.slice(0, 251))).toEqual(new Set([97, 98, 99]));
		expect(ids.slice(251)).toEqual([0, 0, 0, 0, 0, 97, 98, 99, ...new Array(13).fill(0)]);
	});
});
