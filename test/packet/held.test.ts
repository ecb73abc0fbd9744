/**
 * Tests held fragments: which ones may wait, how many of one sender, and the fate of those that
 * cannot continue.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Dataplane, dropped, passed, program } from './fixture.ts';
import { fragments } from './fragments.ts';
import { expectSameBytes } from './hexdump.ts';
import { ADDR, FAMILIES, type FamilyName, frameOf, NODEPORT, type Shape, TARGET_PORT } from './shape.ts';

const fromNetdev = program('ml_from_netdev');
const fromPod = program('ml_from_pod');
const HOOKS = [fromNetdev, fromPod];
/** bpf/config.h: fragment_budget. */
const BUDGET = 128;
/** Source n: a host of 172.20.0.0/16, or a host in its own /64. */
const host = (family: FamilyName, n: number) =>
	family === 'v4' ? `172.20.${n >> 8}.${n & 255}` : `2001:db8:${n.toString(16)}::7`;

let nextId = 1;
const cut = (family: FamilyName, changes: Partial<Shape> = {}) => {
	const { client: src, node: dst } = ADDR[family];
	const payload = new Uint8Array(900).fill(nextId);
	const whole = frameOf({ proto: 'udp', src, dst, sport: 4000, dport: NODEPORT, payload, ...changes });
	return fragments(whole, 320, nextId++);
};

describe('fragments that wait', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp', { hz: 250 });
		for (const family of FAMILIES)
			plane.services.add({
				proto: 'udp',
				frontends: [{ address: ADDR[family].node, port: NODEPORT }],
				backends: [{ address: ADDR[family].local, port: TARGET_PORT, local: true }],
			});
	});
	afterAll(() => plane?.close());

	const reasonsOf = (frames: readonly Uint8Array[], hook = fromNetdev) =>
		plane.counting(() => {
			for (const frame of frames) plane.run(hook, frame);
		}).reasons;
	/** Expects that a datagram out of order is served. */
	const expectServed = (family: FamilyName) => {
		const [first, ...later] = cut(family);
		expect(reasonsOf(later)).toEqual({ FRAGMENT_HELD: later.length });
		expect(reasonsOf([first!])).toEqual({ FRAGMENT_RELEASED: 1 + later.length });
	};

	it.each(HOOKS.flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family }))))(
		'$name passes those that are routed on, over IP$family, whichever way their first goes',
		({ hook, family }) => {
			const { remote, otherDevice, client2, local2 } = ADDR[family];
			for (const dst of [remote, otherDevice, client2, local2]) {
				const [first, ...later] = cut(family, { dst });
				for (const frame of [...later, first!, ...later]) {
					const { result, reasons } = plane.counting(() => plane.run(hook, frame));
					expect(passed(hook, result.action)).toBe(true);
					expectSameBytes(result.bytes, frame);
					expect(Object.values(reasons)).toEqual([1]);
					expect(Object.keys(reasons)[0]).toMatch(/^PASS_/);
				}
			}
			// and the programs keep no entry for them
			expect([...plane.objects.map('fragments').entries()]).toEqual([]);
		},
	);

	it.each(FAMILIES)('IP%s: a sender that never sends the first has a budget, others theirs', (family) => {
		// In IPv6 a /64 shares a budget, so this sender is in another one
		const { other } = ADDR[family];
		const spoof = Array.from({ length: 1500 }, () => cut(family, { src: other })[1]!);
		const begin = performance.now();
		const { FRAGMENT_HELD = 0, ...rest } = reasonsOf(spoof);
		const seconds = (performance.now() - begin) / 1000;
		expect(FRAGMENT_HELD).toBeGreaterThanOrEqual(BUDGET);
		// The kernel may have 1000 jiffies a second, while the programs assume 250
		expect(FRAGMENT_HELD).toBeLessThanOrEqual(BUDGET * (1 + 4 * seconds) + 1);
		expect(rest).toEqual({ DROP_FRAGMENT: spoof.length - FRAGMENT_HELD });
		expectServed(family);
	});

	it('addresses of one /64 have one budget', () => {
		const of = (n: number) => cut('v6', { src: `2001:db8:ffff:1::${n.toString(16)}` })[1]!;
		const { FRAGMENT_HELD = 0 } = reasonsOf(Array.from({ length: 1000 }, (_, n) => of(n + 1)));
		expect(FRAGMENT_HELD).toBeLessThan(3 * BUDGET);
	});

	it.each(FAMILIES)('IP%s: senders that are all pretended do not keep the others out', (family) => {
		for (let i = 0; i < 3000; i++) {
			plane.run(fromNetdev, cut(family, { src: host(family, i) })[1]!);
			if (i % 500 === 0) expectServed(family);
		}
		expectServed(family);
	});

	it.each(FAMILIES)('IP%s: who sends the first at last has its budget back', (family) => {
		for (let i = 0; i < 3 * BUDGET; i++) expectServed(family);
	});
});

describe('fragments that cannot be let in', () => {
	it.each(FAMILIES)('IP%s: are counted as dropped, none is left in the map', async (family) => {
		using plane = await Dataplane.open('mlpp');
		plane.services.add({
			proto: 'udp',
			frontends: [{ address: ADDR[family].node, port: NODEPORT }],
			backends: [{ address: ADDR[family].local, port: TARGET_PORT, local: true }],
		});
		const [first, ...later] = cut(family);
		for (const frame of later) plane.run(fromNetdev, frame);
		// A redirect to a device that is down loses the packet
		plane.net.ip('dut', 'link set up0 down');
		await sleep(50);
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, first!));
		expect(dropped(fromNetdev, result.action)).toBe(true);
		expect(reasons).toEqual({ DROP_FRAGMENT: 1 + later.length });
		expect([...plane.objects.map('held_fragments').entries()]).toEqual([]);
	});
});
