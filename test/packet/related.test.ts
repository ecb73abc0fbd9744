import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FrontendScope } from '../../agent/abi/layout.ts';
import { packet } from './builder.ts';
import { decode, decodeIp } from './decode.ts';
import { Dataplane, type Program, passed, program } from './fixture.ts';
import { expectSameBytes, expectSent } from './hexdump.ts';
import {
	ADDR,
	CASES,
	type Case,
	FAMILIES,
	type FamilyName,
	frameOf,
	MAC,
	NODEPORT,
	SERVICE_PORT,
	type Shape,
	TARGET_PORT,
	turned,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const toNetdev = program('ml_to_netdev');
const fromPod = program('ml_from_pod');
const toPod = program('ml_to_pod');
const LOCAL = NODEPORT + 1;

/** Errors by family, with the four bytes after the checksum. */
const ERRORS = {
	v4: { unreachable: [3, 3, 0], tooBig: [3, 4, 1300], expired: [11, 0, 0] },
	v6: { unreachable: [1, 4, 0], tooBig: [2, 0, 1300], expired: [3, 0, 0] },
} as const;
type Kind = keyof (typeof ERRORS)['v4'];

interface Outer {
	family: FamilyName;
	kind: Kind;
	src: string;
	dst: string;
	ttl?: number;
	ethSrc?: string;
	ethDst?: string;
}

/** An ICMP error about `quoted`. It quotes `keep` bytes after the IP header. */
function errorAbout(outer: Outer, quoted: Shape, keep = 8): Uint8Array {
	const { family, kind, src, dst, ttl = 64, ethSrc = MAC.node2, ethDst = MAC.node } = outer;
	const [type, code, rest] = ERRORS[family][kind];
	const eth = packet().eth({ src: ethSrc, dst: ethDst });
	const inner = frameOf(quoted).subarray(14, 14 + (family === 'v4' ? 20 : 40) + keep);
	return family === 'v4'
		? eth.ipv4({ src, dst, ttl }).icmp({ type, code, rest }).payload(inner).bytes()
		: eth.ipv6({ src, dst, hopLimit: ttl }).icmp6({ type, code, rest }).payload(inner).bytes();
}

describe('ICMP errors about translated flows', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, clusterIp, local, remote } = ADDR[family];
			const remotes = [{ address: remote, port: TARGET_PORT }];
			const scope = FrontendScope.INTERNAL;
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: NODEPORT },
					{ address: clusterIp, port: SERVICE_PORT, scope },
				],
				backends: remotes,
			});
			const backends = [{ address: local, port: TARGET_PORT, local: true }];
			plane.services.add({ proto, frontends: [{ address: node, port: LOCAL }], backends });
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	/** Opens a flow. @returns the packet of the client, and the packet that left for the backend */
	const open = (hook: Program, sent: Shape): { sent: Shape; left: Shape } => {
		const { ip, tcp, udp } = decode(plane.run(hook, frameOf(sent)).bytes);
		const { sport, dport } = (tcp ?? udp)!;
		return { sent, left: { ...sent, src: ip!.src, dst: ip!.dst, sport, dport, ttl: ip!.ttl } };
	};
	const outside = ({ family, proto }: Case, dport: number): Shape => {
		const { client, node } = ADDR[family];
		return { proto, src: client, dst: node, sport: 4000, dport, flags: 'S' };
	};

	it.each(CASES)(
		'$proto IP$family: a remote backend’s refusal reaches the client as the frontend’s (F-35, F R-3)',
		(one) => {
			const { family } = one;
			const { client, node, remote } = ADDR[family];
			const { sent, left } = open(fromNetdev, outside(one, NODEPORT));
			const error = errorAbout({ family, kind: 'unreachable', src: remote, dst: node }, left);
			const { result, reasons } = plane.counting(() => plane.run(fromNetdev, error));
			expect(result.action).toBe(7);
			const macs = { ethSrc: MAC.node, ethDst: MAC.client };
			const quoted = { ...sent, ttl: left.ttl! };
			expectSent(
				fromNetdev,
				result.bytes,
				errorAbout({ family, kind: 'unreachable', src: node, dst: client, ttl: 63, ...macs }, quoted),
			);
			expect(reasons).toEqual({ TO_CLIENT: 1 });
		},
	);

	it.each(CASES)(
		'$proto IP$family: a router’s error keeps the router’s address (F-35, F-30, F R-3)',
		(one) => {
			const { family } = one;
			const { client, node, other } = ADDR[family];
			const { sent, left } = open(fromNetdev, outside(one, NODEPORT));
			const macs = { ethSrc: MAC.node, ethDst: MAC.client };
			for (const kind of ['tooBig', 'expired'] as const) {
				const { action, bytes } = plane.run(
					fromNetdev,
					errorAbout({ family, kind, src: other, dst: node }, left),
				);
				expect(action).toBe(7);
				const want = { family, kind, src: other, dst: client, ttl: 63, ...macs };
				expectSent(fromNetdev, bytes, errorAbout(want, { ...sent, ttl: left.ttl! }));
			}
		},
	);

	it.each(CASES)('$proto IP$family: an error may quote the whole packet', (one) => {
		const { family, proto } = one;
		const { node, other } = ADDR[family];
		const { sent, left } = open(fromNetdev, outside(one, NODEPORT));
		const error = errorAbout({ family, kind: 'tooBig', src: other, dst: node }, left, 200);
		const { faults, payload } = decode(plane.run(fromNetdev, error).bytes);
		expect(faults).toEqual([]);
		const inner = decodeIp(payload);
		const { ip, tcp, udp } = inner;
		expect(ip).toMatchObject({ src: sent.src, dst: sent.dst });
		expect(tcp ?? udp).toMatchObject({ sport: sent.sport, dport: sent.dport });
		// Every error quotes the IPv4 header and the UDP checksum, but not the TCP checksum
		if (proto === 'udp') expect(inner.faults).toEqual([]);
	});

	it.each(CASES)(
		'$proto IP$family: the client’s error about a reply reaches the remote backend (F-35, F R-3)',
		(one) => {
			const { family } = one;
			const { client, node, remote } = ADDR[family];
			const { sent, left } = open(fromNetdev, outside(one, NODEPORT));
			const macs = { ethSrc: MAC.client };
			const error = errorAbout({ family, kind: 'tooBig', src: client, dst: node, ...macs }, turned(sent));
			const { result, reasons } = plane.counting(() => plane.run(fromNetdev, error));
			expect(result.action).toBe(7);
			const to = { family, kind: 'tooBig', src: node, dst: remote, ttl: 63 } as const;
			const way = { ethSrc: MAC.node, ethDst: MAC.node2 };
			expectSent(fromNetdev, result.bytes, errorAbout({ ...to, ...way }, turned(left, { ttl: 64 })));
			expect(reasons).toEqual({ TO_REMOTE: 1 });
		},
	);

	it.each(CASES)(
		'$proto IP$family: errors about flows of a local backend go both ways (F-35, F R-3)',
		(one) => {
			const { family } = one;
			const { client, node, local } = ADDR[family];
			const { sent, left } = open(fromNetdev, outside(one, LOCAL));
			const refusal = errorAbout({ family, kind: 'unreachable', src: local, dst: client }, left);
			const out = plane.run(toNetdev, refusal);
			expect(passed(toNetdev, out.action)).toBe(true);
			expectSameBytes(out.bytes, errorAbout({ family, kind: 'unreachable', src: node, dst: client }, sent));

			const complaint = errorAbout({ family, kind: 'tooBig', src: client, dst: node }, turned(sent));
			const inward = plane.run(fromNetdev, complaint);
			expect(passed(fromNetdev, inward.action)).toBe(true);
			expectSameBytes(
				inward.bytes,
				errorAbout({ family, kind: 'tooBig', src: client, dst: local }, turned(left)),
			);
		},
	);

	it.each(CASES)('$proto IP$family: errors about a pod’s flow go both ways (F-35, F R-3)', (one) => {
		const { family, proto } = one;
		const { clusterIp, remote, local2, other } = ADDR[family];
		const flow = { proto, src: local2, dst: clusterIp, sport: 4000, dport: SERVICE_PORT, flags: 'S' };
		const { sent, left } = open(fromPod, flow);
		const routed = errorAbout({ family, kind: 'tooBig', src: other, dst: local2 }, left);
		const back = plane.run(toPod, routed);
		expect(passed(toPod, back.action)).toBe(true);
		expectSameBytes(back.bytes, errorAbout({ family, kind: 'tooBig', src: other, dst: local2 }, sent));

		const complaint = errorAbout({ family, kind: 'tooBig', src: local2, dst: clusterIp }, turned(sent));
		const out = plane.run(fromPod, complaint);
		expect(passed(fromPod, out.action)).toBe(true);
		expectSameBytes(
			out.bytes,
			errorAbout({ family, kind: 'tooBig', src: local2, dst: remote }, turned(left)),
		);
	});

	it.each(CASES)('XDP leaves $proto IP$family errors to TC, byte for byte', (one) => {
		const { family } = one;
		const { node, other } = ADDR[family];
		const { left } = open(fromNetdev, outside(one, NODEPORT));
		const error = errorAbout({ family, kind: 'tooBig', src: other, dst: node }, left);
		const { action, bytes } = plane.run(xdp, error);
		expect(passed(xdp, action)).toBe(true);
		expectSameBytes(bytes, error);
	});

	it.each(CASES)(
		'$proto IP$family: errors about nothing of ours, and cut ones, stay as they are (F-35, F R-6)',
		(one) => {
			const { family } = one;
			const { node, other } = ADDR[family];
			const { left } = open(fromNetdev, outside(one, NODEPORT));
			const whole = { family, kind: 'tooBig', src: other, dst: node } as const;
			const frames = [
				errorAbout(whole, { ...left, sport: left.sport - 1 }),
				errorAbout(whole, { ...left, dst: other }),
				...[0, 1, 4, 7].map((keep) => errorAbout(whole, left, keep)),
			];
			for (const hook of [fromNetdev, toNetdev, fromPod, toPod])
				for (const frame of frames) {
					const { action, bytes } = plane.run(hook, frame);
					expect(passed(hook, action)).toBe(true);
					expectSameBytes(bytes, frame);
				}
		},
	);
});

describe('packets that their way out does not take', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES)
			plane.services.add({
				proto,
				frontends: [{ address: ADDR[family].node, port: NODEPORT }],
				backends: [{ address: ADDR[family].remote, port: TARGET_PORT }],
			});
	});
	afterAll(() => plane?.close());

	const big = (family: FamilyName, proto: Shape['proto']): Shape => {
		const { client, node } = ADDR[family];
		return { proto, src: client, dst: node, sport: 4000, dport: NODEPORT, payload: new Uint8Array(1600) };
	};

	it.each(CASES)('XDP leaves $proto IP$family to TC, byte for byte', ({ family, proto }) => {
		const frame = frameOf(big(family, proto));
		const { action, bytes } = plane.run(xdp, frame);
		expect(passed(xdp, action)).toBe(true);
		expectSameBytes(bytes, frame);
	});

	it.each(CASES)(
		'TC tells the sender of $proto IP$family what size it takes (F-35, F R-3)',
		({ family, proto }) => {
			const sent = big(family, proto);
			const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frameOf(sent)));
			expect(result.action).toBe(7);
			expect(reasons).toMatchObject({ REJECT_TOO_BIG: 1 });
			const { eth, ip, icmp, payload, faults } = decode(result.bytes);
			expect(faults).toEqual([]);
			expect(eth).toMatchObject({ src: MAC.node, dst: MAC.client });
			expect(ip).toMatchObject({ src: sent.dst, dst: sent.src });
			expect(icmp).toMatchObject(
				family === 'v4' ? { type: 3, code: 4, rest: 1500 } : { type: 2, code: 0, rest: 1500 },
			);
			expectSameBytes(payload, frameOf(sent).subarray(14, 14 + payload.length), 'quoted packet');
		},
	);

	it.each(FAMILIES)('XDP and TC take an IP%s packet of exactly the size (F-46)', (family) => {
		const payload = new Uint8Array(1500 - (family === 'v4' ? 28 : 48));
		for (const hook of [xdp, fromNetdev]) {
			const { action } = plane.run(hook, frameOf({ ...big(family, 'udp'), payload }));
			expect(passed(hook, action)).toBe(false);
		}
	});
});
