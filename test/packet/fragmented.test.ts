import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EXT_DESTINATION, EXT_HOP_BY_HOP, packet } from './builder.ts';
import { decode } from './decode.ts';
import { Dataplane, passed, program, redirected } from './fixture.ts';
import { fragments } from './fragments.ts';
import { expectSameBytes } from './hexdump.ts';
import { ADDR, FAMILIES, type FamilyName, frameOf, MAC, NODEPORT, type Shape, TARGET_PORT } from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const toNetdev = program('ml_to_netdev');
const REMOTE = NODEPORT + 1;
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
		for (let i = 0; i < 8; i++) ip = ip.ext(EXT_DESTINATION);
		const frame = ip.udp({ sport: 4000, dport: NODEPORT }).payload('deep').bytes();
		const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frame));
		expect(passed(fromNetdev, result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toEqual({ PASS_PROTOCOL: 1 });
	});
});
