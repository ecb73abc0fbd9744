import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FrontendScope } from '../../agent/abi/layout.ts';
import { decode } from './decode.ts';
import { Dataplane, passed, program } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	type Case,
	frameOf,
	MAC,
	NODEPORT,
	SERVICE_PORT,
	type Shape,
	SNAT_MAX,
	SNAT_MIN,
	TARGET_PORT,
	turned,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const toNetdev = program('ml_to_netdev');
const fromPod = program('ml_from_pod');
const toPod = program('ml_to_pod');
const ports = (bytes: Uint8Array) => {
	const { tcp, udp } = decode(bytes);
	return (tcp ?? udp)!;
};

const outside = ({ family, proto }: Case): Shape => {
	const { client, node } = ADDR[family];
	return { proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S' };
};
/** A packet of a pod of this node, sent out of its veth. */
const inside = ({ family, proto }: Case, src: 'local' | 'local2', dport: number): Shape => {
	const { clusterIp } = ADDR[family];
	const from = ADDR[family][src];
	return {
		proto,
		src: from,
		dst: clusterIp,
		sport: 4000,
		dport,
		flags: 'S',
		ethSrc: MAC.pod,
		ethDst: MAC.host,
	};
};

describe('backends of this node, and pods as clients', () => {
	let plane: Dataplane;
	const REMOTE = SERVICE_PORT + 1;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, node20, clusterIp, local, remote } = ADDR[family];
			const scope = FrontendScope.INTERNAL;
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: NODEPORT },
					{ address: node20, port: NODEPORT },
					{ address: clusterIp, port: SERVICE_PORT, scope },
				],
				backends: [{ address: local, port: TARGET_PORT, local: true }],
			});
			plane.services.add({
				proto,
				frontends: [{ address: clusterIp, port: REMOTE, scope }],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(CASES)('XDP leaves $proto IP$family to TC, byte for byte, and remembers nothing (F-01)', (one) => {
		const frame = frameOf(outside(one));
		const { result, reasons } = plane.counting(() => plane.run(xdp, frame));
		expect(passed(xdp, result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toEqual({ PASS_LOCAL: 1 });
		expect(plane.connections()).toEqual([]);
	});

	it.each(CASES)(
		'TC changes only the destination of $proto IP$family and hands it to the stack (F-02)',
		(one) => {
			const { local } = ADDR[one.family];
			for (const [flags, want] of [
				['S', { TO_LOCAL: 1, CONN_NEW: 1 }],
				['A', { TO_LOCAL: 1 }],
			] as const) {
				const sent = { ...outside(one), flags };
				const { result, reasons } = plane.counting(() => plane.run(fromNetdev, frameOf(sent)));
				expect(passed(fromNetdev, result.action)).toBe(true);
				expectSameBytes(result.bytes, frameOf({ ...sent, dst: local, dport: TARGET_PORT }));
				expect(reasons).toEqual(want);
			}
		},
	);

	it.each(CASES)('TC egress gives $proto IP$family replies the frontend’s address (F-02)', (one) => {
		const { local } = ADDR[one.family];
		const sent = outside(one);
		plane.run(fromNetdev, frameOf(sent));
		const reply = turned({ ...sent, dst: local, dport: TARGET_PORT }, { flags: 'SA', ttl: 63 });
		const { result, reasons } = plane.counting(() => plane.run(toNetdev, frameOf(reply)));
		expect(passed(toNetdev, result.action)).toBe(true);
		expectSameBytes(result.bytes, frameOf(turned(sent, { flags: 'SA', ttl: 63 })));
		expect(reasons).toEqual({ REPLY_ROUTED: 1 });
	});

	it.each(CASES)(
		'one $proto IP$family client port through two frontends to one backend is two flows (F R-4)',
		(one) => {
			const { local, node20, client, node } = ADDR[one.family];
			const first = outside(one);
			const second = { ...first, dst: node20 };
			plane.run(fromNetdev, frameOf(first));
			const { sport } = ports(plane.run(fromNetdev, frameOf(second)).bytes);
			expect(sport).not.toBe(first.sport);
			for (const [dport, from] of [
				[first.sport, node],
				[sport, node20],
			] as const) {
				const reply = { ...turned(first), src: local, sport: TARGET_PORT, dport, flags: 'SA' };
				const { ip, tcp, udp } = decode(plane.run(toNetdev, frameOf(reply)).bytes);
				expect([ip!.src, ip!.dst, (tcp ?? udp)!.dport]).toEqual([from, client, first.sport]);
			}
		},
	);

	it.each(CASES)('a pod’s $proto IP$family to a ClusterIP keeps its source, with any backend', (one) => {
		const { local, remote } = ADDR[one.family];
		for (const [dport, dst, reason] of [
			[SERVICE_PORT, local, 'TO_LOCAL'],
			[REMOTE, remote, 'TO_ROUTED'],
		] as const) {
			const sent = inside(one, 'local2', dport);
			const { result, reasons } = plane.counting(() => plane.run(fromPod, frameOf(sent)));
			expect(passed(fromPod, result.action)).toBe(true);
			expectSameBytes(result.bytes, frameOf({ ...sent, dst, dport: TARGET_PORT }));
			expect(reasons).toEqual({ [reason]: 1, CONN_NEW: 1 });

			const reply = turned({ ...sent, dst, dport: TARGET_PORT }, { flags: 'SA', ttl: 62 });
			const back = plane.counting(() => plane.run(toPod, frameOf(reply)));
			expect(passed(toPod, back.result.action)).toBe(true);
			expectSameBytes(back.result.bytes, frameOf(turned(sent, { flags: 'SA', ttl: 62 })));
			expect(back.reasons).toEqual({ REPLY_ROUTED: 1 });
			plane.clear();
		}
	});

	it.each(CASES)('a pod that is its own $proto IP$family backend meets itself as the node (F-15)', (one) => {
		const { local, node } = ADDR[one.family];
		const sent = inside(one, 'local', SERVICE_PORT);
		const there = plane.counting(() => plane.run(fromPod, frameOf(sent)));
		const { sport } = ports(there.result.bytes);
		expect(there.result.action).toBe(7);
		expect(sport).toBeGreaterThanOrEqual(SNAT_MIN);
		expect(sport).toBeLessThanOrEqual(SNAT_MAX);
		const macs = { ethSrc: MAC.host, ethDst: MAC.pod };
		const arrives = { ...sent, src: node, dst: local, sport, dport: TARGET_PORT, ...macs };
		expectSameBytes(there.result.bytes, frameOf(arrives));
		expect(there.reasons).toEqual({ TO_SELF: 1, CONN_NEW: 1 });

		const reply = turned(arrives, { flags: 'SA' });
		const back = plane.counting(() => plane.run(fromPod, frameOf(reply)));
		expect(back.result.action).toBe(7);
		expectSameBytes(back.result.bytes, frameOf(turned(sent, { flags: 'SA' })));
		expect(back.reasons).toEqual({ TO_SELF: 1 });
	});

	it.each(CASES)('$proto IP$family to a pod that was translated elsewhere stays as it is (F-05)', (one) => {
		const { local } = ADDR[one.family];
		const frame = frameOf({ ...outside(one), dst: local, dport: TARGET_PORT });
		for (const hook of [xdp, fromNetdev, toPod]) {
			const { action, bytes } = plane.run(hook, frame);
			expect(passed(hook, action)).toBe(true);
			expectSameBytes(bytes, frame);
		}
	});
});
