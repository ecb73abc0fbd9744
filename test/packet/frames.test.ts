/** Tests the fields that describe a frame: its destination, the end of its headers, its length. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FrontendScope, ServiceAddressFlag } from '../../agent/abi/layout.ts';
import { EXT_DESTINATION, EXT_HOP_BY_HOP, EXT_ROUTING, packet } from './builder.ts';
import { concat } from './bytes.ts';
import { decode } from './decode.ts';
import { Dataplane, dropped, type Program, passed, program, redirected } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	FAMILIES,
	type FamilyName,
	frameOf,
	MAC,
	NODEPORT,
	SERVICE_PORT,
	type Shape,
	TARGET_PORT,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const fromPod = program('ml_from_pod');
const toNetdev = program('ml_to_netdev');
const LOCAL = NODEPORT + 1;
const NONE = NODEPORT + 2;
/** RFC 4302: payload length 4 is 24 bytes. */
const EXT_AUTH = 51;
const AUTH = Uint8Array.from([0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

describe('frames', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, remote, local, clusterIp } = ADDR[family];
			for (const [port, backends] of [
				[NODEPORT, [{ address: remote, port: TARGET_PORT }]],
				[LOCAL, [{ address: local, port: TARGET_PORT, local: true }]],
				[NONE, []],
			] as const)
				plane.services.add({ proto, frontends: [{ address: node, port }], backends });
			plane.services.add({
				proto,
				frontends: [{ address: clusterIp, port: SERVICE_PORT, scope: FrontendScope.INTERNAL }],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
			plane.services.address(clusterIp, ServiceAddressFlag.CLUSTERIP);
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const send = (family: FamilyName, proto: Shape['proto'], changes: Partial<Shape> = {}): Shape => {
		const { client, node } = ADDR[family];
		return { proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S', ...changes };
	};
	const expectLeft = (hook: Program, frame: Uint8Array, reason: string, gsoSize = 0) => {
		const { result, reasons } = plane.counting(() => plane.run(hook, frame, { gsoSize }));
		expect(passed(hook, result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toEqual({ [reason]: 1 });
		expect(plane.connections()).toEqual([]);
	};

	describe('that are for others', () => {
		beforeAll(() => plane.deviceMac('up0', MAC.node));
		const GROUPS = ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01', '33:33:00:00:00:01'];

		it.each([xdp, fromNetdev].flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one }))))(
			'$name leaves $proto IP$family to another address, to all or to a group alone',
			({ hook, family, proto }) => {
				for (const ethDst of [MAC.foreign, ...GROUPS])
					for (const dport of [NODEPORT, LOCAL, NONE])
						expectLeft(hook, frameOf(send(family, proto, { ethDst, dport })), 'PASS_OTHER_HOST');
				const own = plane.run(hook, frameOf(send(family, proto)));
				expect(redirected(hook, own.action)).toBe(true);
			},
		);

		it.each(CASES)('ml_from_pod takes $proto IP$family by a bridge, not to a group', (one) => {
			const { local: src, clusterIp: dst } = ADDR[one.family];
			const shape = send(one.family, one.proto, { src, dst, dport: SERVICE_PORT });
			for (const ethDst of GROUPS) expectLeft(fromPod, frameOf({ ...shape, ethDst }), 'PASS_OTHER_HOST');
			const { reasons } = plane.counting(() =>
				plane.run(fromPod, frameOf({ ...shape, ethDst: MAC.foreign })),
			);
			expect(reasons).toMatchObject({ TO_ROUTED: 1 });
		});

		it('XDP judges a device that it does not know by the group bit', () => {
			plane.deviceMac('up1', MAC.node20);
			const shape = send('v4', 'udp', { ethDst: MAC.node });
			const there = plane.run({ ...xdp, dev: 'up1' }, frameOf(shape));
			expect(passed(xdp, there.action)).toBe(true);
			plane.deviceMac('up0', MAC.foreign);
			expectLeft(xdp, frameOf(shape), 'PASS_OTHER_HOST');
			plane.deviceMac('up0', MAC.node);
		});
	});

	it.each([xdp, fromNetdev, fromPod].map((hook) => ({ hook, name: hook.name })))(
		'$name leaves IPv6 with mapped IPv4 addresses alone: to the maps they are those of IPv4',
		({ hook }) => {
			const { client, node } = ADDR.v4;
			for (const [src, dst] of [
				[`::ffff:${client}`, `::ffff:${node}`],
				[ADDR.v6.client, `::ffff:${node}`],
				[`::ffff:${client}`, ADDR.v6.node],
			] as const)
				expectLeft(hook, frameOf(send('v6', 'udp', { src, dst })), 'PASS_MALFORMED');
		},
	);

	it.each([xdp, fromNetdev].flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family }))))(
		'$name IP$family: a TCP header that is longer than its segment is malformed',
		({ hook, family }) => {
			const { client: src, node: dst } = ADDR[family];
			for (const dport of [NODEPORT, LOCAL, NONE])
				for (const [dataOffset, payload] of [
					[15, ''],
					[15, 'x'.repeat(39)],
					[6, 'abc'],
				] as const) {
					const ip = packet().eth({ dst: MAC.node }).ip({ src, dst });
					const tcp = ip.tcp({ sport: 4000, dport, flags: 'S', dataOffset });
					expectLeft(hook, tcp.payload(payload).bytes(), 'PASS_MALFORMED');
				}
		},
	);

	describe('with IPv6 extension headers', () => {
		const { client, node, local, clusterIp } = ADDR.v6;
		const chain = (dst: string, dport: number, headers: readonly [number, Uint8Array?][]) => {
			let ip = packet().eth({ dst: MAC.node }).ipv6({ src: client, dst });
			for (const [type, data] of headers) ip = ip.ext(type, data ?? new Uint8Array(6));
			const frame = ip.udp({ sport: 4000, dport }).payload('behind').bytes();
			// AH encodes its length in 32-bit words, minus two
			let at = 54;
			for (const [type, data] of headers) {
				if (type === EXT_AUTH) frame[at + 1] = (2 + data!.length) / 4 - 2;
				at += Math.ceil((2 + (data?.length ?? 6)) / 8) * 8;
			}
			return frame;
		};
		const many = (count: number) => new Array<[number]>(count).fill([EXT_DESTINATION]);
		const long = new Uint8Array(206);

		it.each([
			['AH', [[EXT_AUTH, AUTH]]],
			['hop-by-hop, AH and destination options', [[EXT_HOP_BY_HOP], [EXT_AUTH, AUTH], [EXT_DESTINATION]]],
			['a routing header', [[EXT_ROUTING]]],
			['eight of them', many(8)],
			['one of 208 bytes', [[EXT_DESTINATION, long]]],
			[
				'two of 208 bytes',
				[
					[EXT_HOP_BY_HOP, long],
					[EXT_DESTINATION, long],
				],
			],
		] as [string, [number, Uint8Array?][]][])('translates what is behind %s', (_, headers) => {
			const { result, reasons } = plane.counting(() => plane.run(fromNetdev, chain(node, LOCAL, headers)));
			expect(reasons).toMatchObject({ TO_LOCAL: 1 });
			expectSameBytes(result.bytes, chain(local, TARGET_PORT, headers));
			const remote = plane.run(xdp, chain(node, NODEPORT, headers));
			expect(redirected(xdp, remote.action)).toBe(true);
			expect(decode(remote.bytes).ip!.dst).toBe(ADDR.v6.remote);
		});

		it.each([
			['nine of them', many(9)],
			[
				'three of 208 bytes',
				[
					[EXT_DESTINATION, long],
					[EXT_DESTINATION, long],
					[EXT_DESTINATION, long],
				],
			],
		] as [string, [number, Uint8Array?][]][])(
			'counts what is behind %s and leaves it alone, or drops it where nothing else lives',
			(_, headers) => {
				for (const hook of [xdp, fromNetdev])
					expectLeft(hook, chain(node, LOCAL, headers), 'PASS_EXTENSIONS');
				for (const hook of [fromNetdev, fromPod]) {
					const { result, reasons } = plane.counting(() =>
						plane.run(hook, chain(clusterIp, SERVICE_PORT, headers)),
					);
					expect(dropped(hook, result.action)).toBe(true);
					expect(reasons).toEqual({ DROP_PROTOCOL: 1 });
				}
			},
		);

		it('that the payload length does not reach are malformed, not a transport header', () => {
			for (const payloadLength of [0, 4, 8, 15])
				for (const hook of [xdp, fromNetdev]) {
					const ip = packet()
						.eth({ dst: MAC.node })
						.ipv6({ src: client, dst: node, payloadLength })
						.ext(EXT_DESTINATION);
					const frame = ip.udp({ sport: 4000, dport: NODEPORT }).payload('behind').bytes();
					expectLeft(hook, frame, 'PASS_MALFORMED');
				}
		});
	});

	describe('that are longer than their header can say (BIG TCP)', () => {
		/**
		 * A frame as the kernel writes it, with length 0. Over IPv6 it has a jumbo option before Linux
		 * 7.0.
		 */
		const big = (src: string, dst: string, sport: number, dport: number, jumbo: boolean) => {
			const eth = packet().eth();
			const ip = src.includes(':')
				? eth.ipv6({ src, dst, payloadLength: 0 })
				: eth.ipv4({ src, dst, totalLength: 0 });
			const option = Uint8Array.from([0xc2, 4, 0, 0, 0, 100]);
			const start = jumbo ? ip.ext(EXT_HOP_BY_HOP, option) : ip;
			return start.tcp({ sport, dport, flags: 'PA' }).payload(new Uint8Array(3000)).bytes();
		};
		const WAYS = [
			{ family: 'v4', jumbo: false },
			{ family: 'v6', jumbo: false },
			{ family: 'v6', jumbo: true },
		] as const;

		it.each(WAYS)('are translated both ways over IP$family (jumbo option: $jumbo)', (way) => {
			const { client, node, local } = ADDR[way.family];
			const { jumbo } = way;
			const there = plane.run(fromNetdev, big(client, node, 4000, LOCAL, jumbo), { gsoSize: 1448 });
			expectAddresses(there.bytes, client, local);
			const back = plane.run(toNetdev, big(local, client, TARGET_PORT, 4000, jumbo), { gsoSize: 1448 });
			expectAddresses(back.bytes, node, client);
		});

		it.each(WAYS)('and no packet of one segment may say so over IP$family (jumbo option: $jumbo)', (way) => {
			const { client, node } = ADDR[way.family];
			expectLeft(fromNetdev, big(client, node, 4000, LOCAL, way.jumbo), 'PASS_MALFORMED');
		});
	});
});

function expectAddresses(frame: Uint8Array, src: string, dst: string): void {
	// the decoder needs a length
	const whole = concat(frame);
	const v4 = frame[12] === 8;
	const length = frame.length - (v4 ? 14 : 54);
	whole.set([length >> 8, length & 255], v4 ? 16 : 18);
	expect(decode(whole).ip).toMatchObject({ src, dst });
}
