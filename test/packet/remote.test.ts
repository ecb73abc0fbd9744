import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { decode } from './decode.ts';
import { Dataplane, type Program, partialChecksum, passed, program, redirected } from './fixture.ts';
import { expectSameBytes, expectSent } from './hexdump.ts';
import {
	ADDR,
	CASES,
	type Case,
	frameOf,
	MAC,
	NODEPORT,
	type Shape,
	SNAT_MAX,
	SNAT_MIN,
	TARGET_PORT,
	turned,
} from './shape.ts';

const HOOKS = [program('ml_xdp'), program('ml_from_netdev')];
const MATRIX = HOOKS.flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one })));
/** A NodePort for each place of a backend. */
const PORTS = {
	remote: NODEPORT,
	otherDevice: NODEPORT + 1,
	noNeighbour: NODEPORT + 2,
	noRoute: NODEPORT + 3,
};
type Place = keyof typeof PORTS;

const ports = (bytes: Uint8Array) => {
	const { tcp, udp } = decode(bytes);
	return (tcp ?? udp)!;
};

function toNode({ family, proto }: Case, place: Place = 'remote', sport = 4000): Shape {
	const { client, node } = ADDR[family];
	return { proto, src: client, dst: node, sport, dport: PORTS[place], flags: 'S' };
}

/** The packet that leaves the node for the backend. The dataplane chooses the source port. */
function toBackend(sent: Shape, family: Case['family'], place: Place, sport: number): Shape {
	const { node } = ADDR[family];
	const dst = ADDR[family][place];
	return { ...sent, src: node, dst, sport, dport: TARGET_PORT, ttl: 63, ethSrc: MAC.node, ethDst: MAC.node2 };
}

describe('a NodePort from outside with a backend on another node', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES)
			for (const [place, port] of Object.entries(PORTS))
				plane.services.add({
					proto,
					frontends: [{ address: ADDR[family].node, port }],
					backends: [{ address: ADDR[family][place as Place], port: TARGET_PORT }],
				});
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const open = (hook: Program, one: Case, place: Place = 'remote', sport = 4000) => {
		const sent = toNode(one, place, sport);
		const { action, bytes } = plane.run(hook, frameOf(sent));
		return { sent, action, bytes, port: ports(bytes).sport };
	};

	it.each(MATRIX)(
		'$name $proto IP$family: the first packet leaves translated both ways (F-01, F-06, F-51, F R-1)',
		({ hook, ...one }) => {
			const sent = toNode(one);
			const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(sent)));
			const { sport } = ports(result.bytes);
			expect(redirected(hook, result.action)).toBe(true);
			expect(sport).toBeGreaterThanOrEqual(SNAT_MIN);
			expect(sport).toBeLessThanOrEqual(SNAT_MAX);
			expectSent(hook, result.bytes, frameOf(toBackend(sent, one.family, 'remote', sport)));
			expect(reasons).toEqual({ TO_REMOTE: 1, CONN_NEW: 1 });
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: later packets keep the port and the backend (F-55)',
		({ hook, ...one }) => {
			const { port } = open(hook, one);
			const next: Shape = { ...toNode(one), flags: 'PA', seq: 1001, payload: 'second' };
			const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(next)));
			expect(redirected(hook, result.action)).toBe(true);
			expectSent(hook, result.bytes, frameOf(toBackend(next, one.family, 'remote', port)));
			expect(reasons).toEqual({ TO_REMOTE: 1 });
			expect(plane.connections()).toHaveLength(2);
		},
	);

	it.each(MATRIX)('$name $proto IP$family: the reply comes from the frontend (F-01)', ({ hook, ...one }) => {
		const { sent, port } = open(hook, one);
		const reply = turned(toBackend(sent, one.family, 'remote', port), { flags: 'SA', ttl: 63 });
		const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(reply)));
		expect(redirected(hook, result.action)).toBe(true);
		const want = turned(sent, { flags: 'SA', ttl: 62, ethSrc: MAC.node, ethDst: MAC.client });
		expectSent(hook, result.bytes, frameOf(want));
		expect(reasons).toEqual({ TO_CLIENT: 1 });
	});

	it.each(MATRIX)('$name $proto IP$family: a pod elsewhere may reach itself', ({ hook, ...one }) => {
		const { remote, node } = ADDR[one.family];
		const sent = { ...toNode(one), src: remote, ethSrc: MAC.node2 };
		const out = plane.run(hook, frameOf(sent));
		expect(redirected(hook, out.action)).toBe(true);
		const { sport } = ports(out.bytes);
		expectSent(hook, out.bytes, frameOf(toBackend(sent, one.family, 'remote', sport)));
		const reply = turned({ ...sent, src: node, dst: remote, sport, dport: TARGET_PORT }, { flags: 'SA' });
		const back = plane.run(hook, frameOf({ ...reply, ethSrc: MAC.node2, ethDst: MAC.node }));
		expect(redirected(hook, back.action)).toBe(true);
		const want = turned(sent, { flags: 'SA', ttl: 63, ethSrc: MAC.node, ethDst: MAC.node2 });
		expectSent(hook, back.bytes, frameOf(want));
	});

	it.each(MATRIX)(
		'$name $proto IP$family: two clients with one port get two (F-35, F R-4)',
		({ hook, ...one }) => {
			const { client2 } = ADDR[one.family];
			const first = open(hook, one);
			const second = plane.run(hook, frameOf({ ...toNode(one), src: client2 }));
			const port = ports(second.bytes).sport;
			expect(port).not.toBe(first.port);
			const reply = turned(toBackend(first.sent, one.family, 'remote', port), { flags: 'SA' });
			expect(decode(plane.run(hook, frameOf(reply)).bytes).ip?.dst).toBe(client2);
		},
	);

	it.each(MATRIX)('$name $proto IP$family: 300 flows have 300 ports', ({ hook, ...one }) => {
		const chosen = new Set<number>();
		for (let i = 0; i < 300; i++) {
			const { action, port } = open(hook, one, 'remote', 20_000 + i);
			expect(redirected(hook, action)).toBe(true);
			expect(port).toBeGreaterThanOrEqual(SNAT_MIN);
			chosen.add(port);
		}
		expect(chosen.size).toBe(300);
	});

	it.each(CASES)('XDP $proto IP$family: a device without XDP is TC’s, byte for byte', (one) => {
		const frame = frameOf(toNode(one, 'otherDevice'));
		const { result, reasons } = plane.counting(() => plane.run(program('ml_xdp'), frame));
		expect(passed(program('ml_xdp'), result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toMatchObject({ PASS_DEVICE: 1 });
	});

	it.each(MATRIX)('$name $proto IP$family: leaves by another device', ({ hook, ...one }) => {
		plane.xdpDevice('up1', true);
		try {
			const { sent, action, bytes, port } = open(hook, one, 'otherDevice');
			expect(action).toBe(hook.kind === 'xdp' ? 4 : 7);
			const want = toBackend(sent, one.family, 'otherDevice', port);
			expectSent(hook, bytes, frameOf({ ...want, ethSrc: MAC.node20, ethDst: MAC.node3 }));
		} finally {
			plane.xdpDevice('up1', false);
		}
	});

	it.each(CASES)(
		'XDP $proto IP$family: an unknown neighbour is TC’s, which goes on with the same flow (F-01)',
		(one) => {
			const sent = toNode(one, 'noNeighbour');
			const xdp = plane.counting(() => plane.run(program('ml_xdp'), frameOf(sent)));
			expect(passed(program('ml_xdp'), xdp.result.action)).toBe(true);
			expectSameBytes(xdp.result.bytes, frameOf(sent));
			expect(xdp.reasons).toMatchObject({ PASS_FIB: 1 });
			const tc = plane.run(program('ml_from_netdev'), frameOf(sent));
			expect(tc.action).toBe(7);
			const want = frameOf(toBackend(sent, one.family, 'noNeighbour', ports(tc.bytes).sport));
			expectSameBytes(tc.bytes.subarray(12), want.subarray(12), 'packet behind the MAC addresses');
			expect(plane.connections()).toHaveLength(2);
		},
	);

	it.each(CASES)('$proto IP$family without a route: XDP leaves it to TC, which drops it', (one) => {
		const frame = frameOf(toNode(one, 'noRoute'));
		const xdp = plane.counting(() => plane.run(program('ml_xdp'), frame));
		expectSameBytes(xdp.result.bytes, frame);
		expect(xdp.reasons).toMatchObject({ PASS_FIB: 1 });
		const tc = plane.counting(() => plane.run(program('ml_from_netdev'), frame));
		expect(tc.result.action).toBe(2);
		expect(tc.reasons).toMatchObject({ DROP_NO_ROUTE: 1 });
	});

	it.each(CASES)('XDP $proto IP$family: an unfinished checksum is TC’s, byte for byte', (one) => {
		const bytes = partialChecksum(frameOf(toNode(one)));
		const { result, reasons } = plane.counting(() => plane.run(program('ml_xdp'), bytes));
		expect(passed(program('ml_xdp'), result.action)).toBe(true);
		expectSameBytes(result.bytes, bytes);
		expect(reasons).toEqual({ PASS_CHECKSUM: 1 });
	});

	it.each(MATRIX)(
		'$name $proto IP$family: what cannot live another hop is not forwarded (F-48)',
		({ hook, ...one }) => {
			for (const ttl of [0, 1]) {
				const frame = frameOf({ ...toNode(one), ttl });
				const { action, bytes } = plane.run(hook, frame);
				expect(redirected(hook, action)).toBe(false);
				if (passed(hook, action)) expectSameBytes(bytes, frame);
			}
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: nothing leaves without an address of the node',
		({ hook, ...one }) => {
			plane.services.settings('::', '::');
			try {
				const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(toNode(one))));
				expect(redirected(hook, result.action) || passed(hook, result.action)).toBe(false);
				expect(reasons).toEqual({ DROP_NO_SNAT_ADDR: 1 });
			} finally {
				plane.services.settings(ADDR.v4.node, ADDR.v6.node);
			}
		},
	);
});
