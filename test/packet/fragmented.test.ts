import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HELD_BYTES, HELD_SLOTS, ServiceAddressFlag } from '../../agent/abi/layout.ts';
import { EXT_DESTINATION, EXT_HOP_BY_HOP, PROTO_UDP, packet } from './builder.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, PROGRAMS, passed, program, redirected } from './fixture.ts';
import { fragments } from './fragments.ts';
import { expectSameBytes } from './hexdump.ts';
import { ADDR, FAMILIES, type FamilyName, frameOf, MAC, NODEPORT, type Shape, TARGET_PORT } from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const toNetdev = program('ml_to_netdev');
const fromPod = program('ml_from_pod');
const toPod = program('ml_to_pod');
const REMOTE = NODEPORT + 1;
/** An unallocated address in the ClusterIP range. */
const FREE = { v4: '10.97.0.9', v6: 'fd00:10:97::9' } as const;
const payload = Uint8Array.from({ length: 1000 }, (_, i) => i & 0xff);

const datagram = (family: FamilyName, dport: number): Shape => {
	const { client, node } = ADDR[family];
	return { proto: 'udp', src: client, dst: node, sport: 4000, dport, payload };
};

describe('datagrams in fragments, and IPv6 extension headers', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const family of FAMILIES) {
			const { node, local, remote } = ADDR[family];
			const local1 = [{ address: local, port: TARGET_PORT, local: true }];
			plane.services.add({ proto: 'udp', frontends: [{ address: node, port: NODEPORT }], backends: local1 });
			plane.services.add({
				proto: 'udp',
				frontends: [{ address: node, port: REMOTE }],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(FAMILIES)(
		'TC translates every fragment over IP%s as it would the whole (F-20, F R-2)',
		(family) => {
			const sent = datagram(family, NODEPORT);
			const want = fragments(frameOf({ ...sent, dst: ADDR[family].local, dport: TARGET_PORT }), 320, 41);
			for (const [i, frame] of fragments(frameOf(sent), 320, 41).entries()) {
				const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frame));
				expect(passed(fromNetdev, result.action)).toBe(true);
				expectSameBytes(result.bytes, want[i]!);
				expect(reasons['TO_LOCAL']).toBe(1);
			}
		},
	);

	it.each(FAMILIES)('TC egress translates the fragments of a reply over IP%s (F-20, F R-2)', (family) => {
		const sent = datagram(family, NODEPORT);
		plane.run(fromNetdev, frameOf(sent));
		const { client, node, local } = ADDR[family];
		const reply = { ...sent, src: local, sport: TARGET_PORT, dst: client, dport: 4000 };
		const want = fragments(frameOf({ ...reply, src: node, sport: NODEPORT }), 320, 42);
		for (const [i, frame] of fragments(frameOf(reply), 320, 42).entries()) {
			const { action, bytes } = plane.run(toNetdev, frame);
			expect(passed(toNetdev, action)).toBe(true);
			expectSameBytes(bytes, want[i]!);
		}
	});

	it.each(FAMILIES)(
		'XDP forwards every fragment over IP%s to the same remote backend and port (F-20, F R-2)',
		(family) => {
			const sent = datagram(family, REMOTE);
			const [first, ...later] = fragments(frameOf(sent), 320, 43);
			const out = plane.run(xdp, first!);
			expect(redirected(xdp, out.action)).toBe(true);
			const { sport } = decode(out.bytes).udp!;
			const want = fragments(
				frameOf({
					...sent,
					src: ADDR[family].node,
					dst: ADDR[family].remote,
					sport,
					dport: TARGET_PORT,
					ttl: 63,
					ethSrc: MAC.node,
					ethDst: MAC.node2,
				}),
				320,
				43,
			);
			expectSameBytes(out.bytes, want[0]!);
			for (const [i, frame] of later.entries()) {
				const { action, bytes } = plane.run(xdp, frame);
				expect(redirected(xdp, action)).toBe(true);
				expectSameBytes(bytes, want[i + 1]!);
			}
		},
	);

	it.each([
		['a hop-by-hop header', [EXT_HOP_BY_HOP]],
		['destination options', [EXT_DESTINATION]],
		['both', [EXT_HOP_BY_HOP, EXT_DESTINATION]],
	] as const)('TC translates UDP behind %s', (_, headers) => {
		const { client, node, local } = ADDR.v6;
		const build = (dst: string, dport: number): Uint8Array => {
			let ip = packet().eth().ipv6({ src: client, dst });
			for (const header of headers) ip = ip.ext(header);
			return ip.udp({ sport: 4000, dport }).payload('behind').bytes();
		};
		const { action, bytes } = plane.run(fromNetdev, build(node, NODEPORT));
		expect(passed(fromNetdev, action)).toBe(true);
		expectSameBytes(bytes, build(local, TARGET_PORT));
	});

	it('passes a packet whose extension headers never end', () => {
		const { client, node } = ADDR.v6;
		let ip = packet().eth().ipv6({ src: client, dst: node });
		for (let i = 0; i < 9; i++) ip = ip.ext(EXT_DESTINATION);
		const frame = ip.udp({ sport: 4000, dport: NODEPORT }).payload('deep').bytes();
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frame));
		expect(passed(fromNetdev, result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toEqual({ PASS_EXTENSIONS: 1 });
	});
});

describe('fragments that overtake their first', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		// a fragment waits for 80 to 800 ms, depending on the kernel's jiffies
		plane = await Dataplane.open('mlpp', { hz: 80, timeout_fragment: 1 });
		plane.services.serviceCidrs('10.97.0.0/16', 'fd00:10:97::/112');
		for (const family of FAMILIES)
			plane.services.address(ADDR[family].clusterIp, ServiceAddressFlag.USABLE_EXTERNAL);
		for (const family of FAMILIES)
			for (const [dport, address, local] of [
				[NODEPORT, ADDR[family].local, true],
				[REMOTE, ADDR[family].remote, false],
			] as const)
				plane.services.add({
					proto: 'udp',
					frontends: [{ address: ADDR[family].node, port: dport }],
					backends: [{ address, port: TARGET_PORT, local }],
				});
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	let nextId = 1000;
	const cut = (family: FamilyName, size = 320) =>
		fragments(frameOf(datagram(family, NODEPORT)), size, nextId++);

	it.each(
		[fromNetdev, fromPod].flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family }))),
	)(
		'$name holds those to the node and to Services over IP$family, and lets them in with the first (F-20, F R-2)',
		({ hook, family }) => {
			const { node, clusterIp } = ADDR[family];
			for (const dst of [node, clusterIp, FREE[family]]) {
				const whole = frameOf({ ...datagram(family, NODEPORT), dst });
				const [first, ...later] = fragments(whole, 320, nextId++);
				for (const frame of later) {
					const { result, reasons } = plane.counting(() => plane.run(hook, frame));
					expect(dropped(hook, result.action)).toBe(true);
					expect(reasons).toEqual({ FRAGMENT_HELD: 1 });
				}
				const { result, reasons } = plane.counting(() => plane.run(hook, first!));
				expect(dropped(hook, result.action)).toBe(true);
				expect(reasons).toEqual({ FRAGMENT_RELEASED: 1 + later.length });
				if (dst !== node) continue;
				// no held fragment is left
				const again = plane.counting(() => plane.run(hook, first!));
				expect(passed(hook, again.result.action)).toBe(true);
				expect(again.reasons['FRAGMENT_RELEASED']).toBeUndefined();
			}
		},
	);

	it.each(FAMILIES)(
		'XDP leaves them, and the first that they wait for, to TC over IP%s (F R-2)',
		(family) => {
			const [first, ...later] = fragments(frameOf(datagram(family, REMOTE)), 320, nextId++);
			for (const frame of later) {
				const { result, reasons } = plane.counting(() => plane.run(xdp, frame));
				expect(passed(xdp, result.action)).toBe(true);
				expectSameBytes(result.bytes, frame);
				expect(reasons).toEqual({ PASS_FRAGMENT: 1 });
				plane.run(fromNetdev, frame);
			}
			const { action, bytes } = plane.run(xdp, first!);
			expect(passed(xdp, action)).toBe(true);
			expectSameBytes(bytes, first!);
			plane.run(fromNetdev, first!);
			expect(redirected(xdp, plane.run(xdp, first!).action)).toBe(true);
		},
	);

	it.each([toNetdev, toPod].flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family }))))(
		'$name passes them over IP$family as they came: what goes out has come in by a hook that holds them',
		({ hook, family }) => {
			for (const frame of cut(family).slice(1)) {
				const { action, bytes } = plane.run(hook, frame);
				expect(passed(hook, action)).toBe(true);
				expectSameBytes(bytes, frame);
			}
		},
	);

	it.each(FAMILIES)(
		'no more than there is room for, and none that is too long, over IP%s (F R-2)',
		(family) => {
			const payload = new Uint8Array((HELD_SLOTS + 3) * 64);
			const many = fragments(frameOf({ ...datagram(family, NODEPORT), payload }), 64, nextId++).slice(1);
			const { reasons } = plane.counting(() => {
				for (const frame of many) expect(dropped(fromNetdev, plane.run(fromNetdev, frame).action)).toBe(true);
			});
			expect(reasons).toEqual({ FRAGMENT_HELD: HELD_SLOTS, DROP_FRAGMENT: many.length - HELD_SLOTS });
			const long = { ...datagram(family, NODEPORT), payload: new Uint8Array(3 * HELD_BYTES) };
			const [, frame] = fragments(frameOf(long), HELD_BYTES, nextId++);
			expect(plane.counting(() => plane.run(fromNetdev, frame!)).reasons).toEqual({ DROP_FRAGMENT: 1 });
		},
	);

	it.each(FAMILIES)('IP%s: what has waited for too long is another datagram’s', async (family) => {
		const [first, ...later] = cut(family);
		for (const frame of later) plane.run(fromNetdev, frame);
		await sleep(900);
		expect(plane.counting(() => plane.run(fromNetdev, first!)).reasons).toMatchObject({ TO_LOCAL: 1 });
		expect(plane.counting(() => plane.run(fromNetdev, later[0]!)).reasons).toEqual({ TO_LOCAL: 1 });
		await sleep(900);
		expect(plane.counting(() => plane.run(fromNetdev, later[0]!)).reasons).toEqual({ FRAGMENT_HELD: 1 });
	});

	it('a later one behind options that only the first carries is of the same protocol (F-20, F R-2)', () => {
		const { client, node } = ADDR.v6;
		const id = nextId++;
		const piece = (offset: number, more: boolean) =>
			packet().eth().ipv6({ src: client, dst: node }).fragment({ offset, more, id, proto: EXT_DESTINATION });
		// a destination options header of eight bytes, then UDP
		const head = [
			PROTO_UDP,
			0,
			1,
			4,
			0,
			0,
			0,
			0,
			4000 >> 8,
			4000 & 255,
			NODEPORT >> 8,
			NODEPORT & 255,
			0,
			48,
			1,
			1,
		];
		const first = piece(0, true)
			.payload(Uint8Array.from([...head, ...new Uint8Array(16)]))
			.bytes();
		const last = piece(32, false).payload(new Uint8Array(24)).bytes();
		for (const frame of [first, last])
			expect(plane.counting(() => plane.run(fromNetdev, frame)).reasons).toMatchObject({ TO_LOCAL: 1 });
		expect(decode(plane.run(fromNetdev, last).bytes).ip!.dst).toBe(ADDR.v6.local);
	});

	it.each(PROGRAMS)(
		'$name passes later fragments of what is neither TCP nor UDP as they came (F R-6)',
		(hook) => {
			const echo = packet().eth().ipv4({ src: ADDR.v4.client, dst: ADDR.v4.node }).icmp({ type: 8 });
			for (const frame of fragments(echo.payload(new Uint8Array(900)).bytes(), 320, nextId++)) {
				const { action, bytes } = plane.run(hook, frame);
				expect(passed(hook, action)).toBe(true);
				expectSameBytes(bytes, frame);
			}
		},
	);
});
