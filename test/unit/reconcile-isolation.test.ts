/** A Service that cannot be read or written is skipped. The same sync programs the others. */
import { describe, expect, it, vi } from 'vitest';
import { frontendKeyCodec, serviceCidrsCodec } from '../../agent/abi/layout.ts';
import { Store } from '../../agent/loop/store.ts';
import { frontendName } from '../../agent/plan/kernel.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const NAMES = Array.from({ length: 9 }, (_, i) => `default/s${i}`);
const ipOf = (name: string) => `10.96.1.${Number(name.slice('default/s'.length)) + 1}`;
const portsOf = (port: number) => [{ port, protocol: 'TCP', targetPort: 8080 }];
const at = (name: string, port: number) => service(name, { ips: [ipOf(name)], ports: portsOf(port) });

/** Programs all Services at port 80. */
function started(): Rig {
	const rig = new Rig().listed();
	for (const name of NAMES)
		rig.add({ [name]: at(name, 80) }, { [name]: slice(name.slice('default/'.length), ['10.244.1.2']) });
	return rig.sync();
}

/** Ports at which the maps serve a Service. */
function portsIn(rig: Rig, name: string): number[] {
	const keys = [...rig.maps.frontends.entries()].map(([key]) => frontendKeyCodec.decode(key));
	const own = keys.filter((key) => frontendName(key).startsWith(`${ipOf(name)}:`));
	return [...new Set(own.map(({ port }) => port))].sort();
}

const isAt = (name: string, port: number) => (map: string, key: Uint8Array | undefined) =>
	map === 'frontends' &&
	key !== undefined &&
	frontendName(frontendKeyCodec.decode(key)).startsWith(`${ipOf(name)}:${port}/`);

const problemsOf = (rig: Rig, name: string) =>
	rig.reconciler.snapshot().problems.filter(({ object }) => object === `Service ${name}`);

describe('a Service whose write the kernel refuses', () => {
	it.each([1, 2, 5, 9])('is set aside, of %d that change; the others are written', (count) => {
		const rig = started();
		const changed = NAMES.slice(0, count);
		const bad = changed.at(count >> 1)!;
		rig.maps.kernel.fail(isAt(bad, 81));
		for (const name of changed) rig.add({ [name]: at(name, 81) });
		expect(rig.reconciler.sync()).toBeDefined();
		for (const name of changed) expect(portsIn(rig, name), name).toEqual([name === bad ? 80 : 81]);
		expect(problemsOf(rig, bad)).toMatchObject([{ message: expect.stringContaining('ENOMEM') }]);
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 0, pendingSince: undefined });
	});

	it.each([
		['first in an empty kernel', 0],
		['first after a restart', 1],
	])('is set aside by the sync that is %s; the others are written', (_name, restarts) => {
		const before = started();
		const maps = restarts > 0 ? before.maps : undefined;
		const rig = new Rig(maps && { maps }).listed();
		const [bad, gone, ...good] = NAMES as [string, string, ...string[]];
		rig.maps.kernel.fail(isAt(bad, 81));
		for (const name of [bad, ...good])
			rig.add({ [name]: at(name, 81) }, { [name]: slice(name.slice('default/'.length), ['10.244.1.2']) });
		rig.maps.kernel.take();
		expect(rig.reconciler.sync()).toBeDefined();
		for (const name of good) expect(portsIn(rig, name), name).toEqual([81]);
		expect(portsIn(rig, bad)).toEqual([]);
		expect(portsIn(rig, gone)).toEqual([]);
		expect(problemsOf(rig, bad)).toMatchObject([{ message: expect.stringContaining('ENOMEM') }]);
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 0, pendingSince: undefined });
		const changes = rig.maps.kernel.take().filter(({ map }) => map === 'frontends');
		const firstDelete = changes.findIndex(({ operation }) => operation === 'delete');
		if (restarts > 0)
			expect(changes.slice(firstDelete).every(({ operation }) => operation === 'delete')).toBe(true);
		rig.maps.kernel.fail(() => false);
		rig.clock.advance(1_000);
		rig.sync();
		expect(portsIn(rig, bad)).toEqual([81]);
	});

	it('when the first sync can write none, blames none and fails', () => {
		const rig = new Rig().listed();
		rig.maps.kernel.fail((map) => map === 'frontends');
		for (const name of NAMES)
			rig.add({ [name]: at(name, 81) }, { [name]: slice(name.slice('default/'.length), ['10.244.1.2']) });
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 1, problems: [], lastSync: undefined });
		rig.maps.kernel.fail(() => false);
		rig.sync();
		for (const name of NAMES) expect(portsIn(rig, name)).toEqual([81]);
	});

	it('is tried again also when the write after it fails', () => {
		const rig = started();
		const [good, bad] = NAMES as [string, string];
		let refusals = 0;
		rig.maps.kernel.fail((map, key) => {
			if (isAt(bad, 81)(map, key)) refusals += 1;
			// of all changes twice, then of this Service alone
			return isAt(bad, 81)(map, key) || refusals >= 3;
		});
		for (const name of [good, bad]) rig.add({ [name]: at(name, 81) });
		expect(rig.reconciler.sync()).toBeUndefined();
		rig.maps.kernel.fail(() => false);
		rig.clock.advance(1_000);
		rig.sync();
		for (const name of [good, bad]) expect(portsIn(rig, name), name).toEqual([81]);
		expect(problemsOf(rig, bad)).toEqual([]);
	});

	it('is tried again by itself, at longer and longer times, and is no problem once it is written', () => {
		const rig = started();
		const [bad, good] = NAMES as [string, string];
		const stop = new AbortController();
		void rig.reconciler.run(stop.signal);
		rig.maps.kernel.fail(isAt(bad, 81));
		rig.add({ [bad]: at(bad, 81) });
		rig.clock.advance(5);
		const failures = () => rig.reconciler.snapshot().totals.failures;
		const seen = [1000, 2000, 4000].map((ms) => {
			const before = failures();
			rig.clock.advance(ms - 20);
			expect(failures()).toBe(before);
			rig.clock.advance(20);
			return failures() - before;
		});
		expect(seen).toEqual([1, 1, 1]);
		rig.add({ [good]: at(good, 82) });
		rig.clock.advance(10);
		expect(portsIn(rig, good)).toEqual([82]);
		rig.maps.kernel.fail(() => false);
		rig.clock.advance(8_000);
		expect(portsIn(rig, bad)).toEqual([81]);
		expect(problemsOf(rig, bad)).toEqual([]);
		stop.abort();
	});

	it('is written at once when it changes to what can be, and may be deleted', () => {
		const rig = started();
		const [bad, gone] = NAMES as [string, string];
		rig.maps.kernel.fail((map, key) => isAt(bad, 81)(map, key) || isAt(gone, 81)(map, key));
		rig.add({ [bad]: at(bad, 81), [gone]: at(gone, 81) }).sync();
		expect(problemsOf(rig, bad).length + problemsOf(rig, gone).length).toBe(2);
		rig.add({ [bad]: at(bad, 83) });
		rig.sinks.services.remove(gone);
		rig.sync();
		expect(portsIn(rig, bad)).toEqual([83]);
		expect(portsIn(rig, gone)).toEqual([]);
		expect(problemsOf(rig, bad).length + problemsOf(rig, gone).length).toBe(0);
	});

	it('when nothing can be written, is not blamed: all are tried again together', () => {
		const rig = started();
		rig.maps.kernel.fail(() => true);
		for (const name of NAMES) rig.add({ [name]: at(name, 81) });
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.reconciler.snapshot().problems).toEqual([]);
		rig.maps.kernel.fail(() => false);
		rig.sync();
		for (const name of NAMES) expect(portsIn(rig, name)).toEqual([81]);
	});
});

/** A Service whose translation throws, like a bug of the agent. */
const POISON = 'default/s3';
const POISONED = 84;
vi.mock(import('../../agent/model/translate.ts'), async (original) => {
	const { translate, ...rest } = await original();
	return {
		...rest,
		translate: (service, ...more) => {
			if (service.key === POISON && service.ports[0]?.port === POISONED) throw new Error('poisoned');
			return translate(service, ...more);
		},
	};
});

describe('an exception of the agent', () => {
	it('in the translation of one of nine Services: it keeps what it has, and the others go on', () => {
		const rig = started();
		for (const name of NAMES) rig.add({ [name]: at(name, POISONED) });
		expect(rig.reconciler.sync()).toBeDefined();
		for (const name of NAMES) expect(portsIn(rig, name), name).toEqual([name === POISON ? 80 : POISONED]);
		expect(problemsOf(rig, POISON)).toMatchObject([{ message: expect.stringContaining('poisoned') }]);
		rig.add({ [POISON]: at(POISON, 82) }).sync();
		expect(portsIn(rig, POISON)).toEqual([82]);
		expect(problemsOf(rig, POISON)).toEqual([]);
	});

	it('in the reading of an object: it stays as it was, and the others are read', () => {
		const rig = started();
		const [bad, ...others] = NAMES as [string, ...string[]];
		const poisoned = {
			get spec(): object {
				throw new Error('unreadable');
			},
		};
		rig.add({ [bad]: poisoned }, { [bad]: poisoned });
		for (const name of others) rig.add({ [name]: at(name, 81) });
		rig.sync();
		for (const name of others) expect(portsIn(rig, name), name).toEqual([81]);
		expect(portsIn(rig, bad)).toEqual([80]);
		expect(problemsOf(rig, bad)).toMatchObject([{ message: expect.stringContaining('unreadable') }]);
		rig.add({ [bad]: at(bad, 82) }).sync();
		expect(portsIn(rig, bad)).toEqual([82]);
		expect(problemsOf(rig, bad)).toEqual([]);
	});

	it('in the reading of the Node: it stays as it was, and Services are written', () => {
		const rig = started();
		const poisoned = {
			get status(): object {
				throw new Error('unreadable');
			},
		};
		rig.sinks.node.upsert('node1', poisoned);
		for (const name of NAMES) rig.add({ [name]: at(name, 81) });
		rig.sync();
		for (const name of NAMES) expect(portsIn(rig, name), name).toEqual([81]);
		expect(rig.reconciler.snapshot().problems).toMatchObject([
			{ object: 'Node', message: expect.stringContaining('unreadable') },
		]);
		rig.sinks.node.upsert('node1', node());
		rig.sync();
		expect(rig.reconciler.snapshot().problems).toEqual([]);
	});

	it('before the sync begins is a failed sync, not the end of the process', () => {
		const rig = started();
		const taken = vi.spyOn(Store.prototype, 'take').mockImplementationOnce(() => {
			throw new Error('no store');
		});
		rig.add({ [NAMES[0]!]: at(NAMES[0]!, 81) });
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.reconciler.snapshot()).toMatchObject({ failures: 1, lastError: 'no store' });
		taken.mockRestore();
		rig.sync();
		expect(portsIn(rig, NAMES[0]!)).toEqual([81]);
	});

	it('of a listener to changes stops nothing', () => {
		const rig = new Rig({
			changed() {
				throw new Error('deaf');
			},
		}).listed();
		rig.add({ 'default/s0': at('default/s0', 80) }, { 'default/s0': slice('s0', ['10.244.1.2']) }).sync();
		expect(portsIn(rig, 'default/s0')).toEqual([80]);
	});
});

describe('a map without room for the old and the new', () => {
	const LOAD_BALANCER = {
		type: 'LoadBalancer',
		loadBalancerSourceRanges: [] as string[],
	};
	const balanced = (ranges: readonly string[]) =>
		service('default/lb', {
			ips: ['10.96.2.1'],
			spec: { ...LOAD_BALANCER, loadBalancerSourceRanges: ranges },
			status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }] } },
		});
	const rangesOf = (third: number) => [0, 1, 2, 3].map((i) => `198.51.${third}.${i * 64}/26`);

	it('takes four source ranges for four others', () => {
		const rig = new Rig({ limits: { sourceRanges: 4 } }).listed();
		rig.add({ 'default/lb': balanced(rangesOf(100)) }, { 'default/lb': slice('lb', ['10.244.1.2']) }).sync();
		expect([...rig.maps.sourceRanges.entries()]).toHaveLength(4);
		const before = rig.dump();
		rig.add({ 'default/lb': balanced(rangesOf(101)) });
		expect(rig.reconciler.sync()).toBeDefined();
		expect(rig.reconciler.snapshot()).toMatchObject({ totals: { failures: 0 }, problems: [] });
		expect(rig.dump()).not.toBe(before);
		expect(rig.dump()).toContain('198.51.101.0/26');
		expect(rig.dump()).not.toContain('198.51.100.0/26');
	});
});

describe('ranges of ClusterIPs', () => {
	const cidr = (text: string) => ({ metadata: { name: 'x' }, spec: { cidrs: [text] } });
	/** The order of writes: number of ranges, and changes of frontends and addresses. */
	const order = (rig: Rig) =>
		rig.maps.kernel.take().flatMap(({ operation, map, value }) => {
			if (map === 'service_cidrs') return `${serviceCidrsCodec.decode(value!).count} ranges`;
			return map === 'frontends' || map === 'addresses' ? `${operation} ${map}` : [];
		});

	it('close after what is in them is written, and open before it goes', () => {
		const rig = new Rig().listed().sync();
		const ranges = rig.reconciler.serviceCidrSink();
		rig.maps.kernel.take();
		ranges.upsert('kubernetes', cidr('10.96.0.0/16'));
		rig.add({ 'default/s0': at('default/s0', 80) }, { 'default/s0': slice('s0', ['10.244.1.2']) }).sync();
		const closing = order(rig);
		expect(closing.filter((line) => line.endsWith('ranges'))).toEqual(['1 ranges']);
		expect(closing.at(-1)).toBe('1 ranges');
		ranges.remove('kubernetes');
		rig.sinks.services.remove('default/s0');
		rig.sync();
		const opening = order(rig);
		expect(opening[0]).toBe('0 ranges');
		expect(opening).toContain('delete frontends');
	});
});
