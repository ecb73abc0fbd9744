import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontendFlag, FrontendScope } from '../../agent/abi/layout.ts';
import { packet } from './builder.ts';
import { decode, decodeIp, verifyChecksums } from './decode.ts';
import { Dataplane, passed, program } from './fixture.ts';
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
} from './shape.ts';

const SILENT = NODEPORT + 1;
const HOOKS = [
	{ hook: program('ml_from_netdev'), client: 'client', to: 'node', dport: NODEPORT },
	{ hook: program('ml_from_pod'), client: 'local', to: 'clusterIp', dport: SERVICE_PORT },
] as const;
const MATRIX = HOOKS.flatMap((one) => FAMILIES.map((family) => ({ ...one, family, name: one.hook.name })));
type Row = (typeof MATRIX)[number];

const send = ({ family, client, to, dport }: Row, shape: Partial<Shape> & Pick<Shape, 'proto'>): Shape => ({
	src: ADDR[family][client],
	dst: ADDR[family][to],
	sport: 4000,
	dport,
	...shape,
});

/** Ethernet and IP headers of an answer: reversed addresses, no ToS, TTL 64. */
function answerTo({ src, dst }: Shape) {
	const eth = packet().eth({ src: MAC.node, dst: MAC.client });
	return src.includes(':')
		? eth.ipv6({ src: dst, dst: src })
		: eth.ipv4({ src: dst, dst: src, dontFragment: true });
}

describe('a frontend without a backend', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, clusterIp } = ADDR[family];
			const scope = FrontendScope.INTERNAL;
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: NODEPORT },
					{ address: clusterIp, port: SERVICE_PORT, scope },
				],
				backends: [],
			});
			const flags = FrontendFlag.NODEPORT | FrontendFlag.DROP;
			plane.services.add({
				proto,
				frontends: [
					{ address: node, port: SILENT, flags },
					{ address: clusterIp, port: SILENT, scope, flags: FrontendFlag.CLUSTERIP | FrontendFlag.DROP },
				],
				backends: [],
			});
		}
	});
	afterAll(() => plane?.close());

	it.each(MATRIX)('$name resets a SYN over IP$family (F-06, F-09)', ({ hook, ...row }) => {
		const sent = send({ hook, ...row }, { proto: 'tcp', flags: 'S', seq: 0xfffffff0 });
		const { result, reasons } = plane.counting(() => plane.run(hook, frameOf({ ...sent, payload: 'data' })));
		expect(result.action).toBe(7);
		const rst = { sport: sent.dport, dport: 4000, flags: 'RA', seq: 0, ack: 0xfffffff5, window: 0 };
		expectSameBytes(result.bytes, answerTo(sent).tcp(rst).bytes());
		expect(reasons).toEqual({ REJECT_NO_BACKEND: 1 });
	});

	it.each(MATRIX)('$name resets a connection that was there before over IP$family', ({ hook, ...row }) => {
		const sent = send({ hook, ...row }, { proto: 'tcp', flags: 'PA', seq: 5, ack: 77 });
		const { action, bytes } = plane.run(hook, frameOf(sent));
		expect(action).toBe(7);
		const rst = { sport: sent.dport, dport: 4000, flags: 'R', seq: 77, ack: 0, window: 0 };
		expectSameBytes(bytes, answerTo(sent).tcp(rst).bytes());
	});

	it.each(MATRIX)('$name never answers a reset over IP$family', ({ hook, ...row }) => {
		const sent = send({ hook, ...row }, { proto: 'tcp', flags: 'R' });
		expect(plane.run(hook, frameOf(sent)).action).toBe(2);
	});

	it.each(MATRIX)('$name answers UDP over IP$family by ICMP port unreachable (F-35)', ({ hook, ...row }) => {
		for (const payload of ['', 'x', new Uint8Array(1200)]) {
			const sent = send({ hook, ...row }, { proto: 'udp', tos: 0x8c, payload });
			const frame = frameOf(sent);
			const { result, reasons } = plane.counting(() => plane.run(hook, frame));
			expect(result.action).toBe(7);
			expect(reasons).toEqual({ REJECT_NO_BACKEND: 1 });
			expectUnreachable(result.bytes, frame, row.family, sent);
		}
	});

	it.each(MATRIX)(
		'$name drops silently over IP$family when backends are elsewhere (F-09)',
		({ hook, ...row }) => {
			for (const proto of ['tcp', 'udp'] as const) {
				const sent = { ...send({ hook, ...row }, { proto, flags: 'S' }), dport: SILENT };
				const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(sent)));
				expect(result.action).toBe(2);
				expect(reasons).toEqual({ DROP_NO_BACKEND: 1 });
			}
		},
	);

	it.each(CASES)(
		'XDP leaves the refusal of $proto IP$family to TC and drops silent ones itself',
		({ family, proto }) => {
			const xdp = program('ml_xdp');
			const { client, node } = ADDR[family];
			const frame = frameOf({ proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S' });
			const { result, reasons } = plane.counting(() => plane.run(xdp, frame));
			expect(passed(xdp, result.action)).toBe(true);
			expectSameBytes(result.bytes, frame);
			expect(reasons).toEqual({ PASS_NO_BACKEND: 1 });
			const silent = frameOf({ proto, src: client, dst: node, sport: 4000, dport: SILENT, flags: 'S' });
			expect(plane.run(xdp, silent).action).toBe(1);
		},
	);
});

/**
 * Checks type and code (RFC 792, RFC 4443), the checksums, and that the quoted start of the packet
 * is unchanged.
 */
function expectUnreachable(bytes: Uint8Array, frame: Uint8Array, family: FamilyName, sent: Shape): void {
	verifyChecksums(bytes);
	const { eth, ip, icmp, payload } = decode(bytes);
	expect(eth).toMatchObject({ src: MAC.node, dst: MAC.client });
	expect(ip).toMatchObject({ src: sent.dst, dst: sent.src });
	expect(icmp).toMatchObject(family === 'v4' ? { type: 3, code: 3, rest: 0 } : { type: 1, code: 4, rest: 0 });
	const header = family === 'v4' ? 20 : 40;
	expect(payload.length).toBeGreaterThanOrEqual(header + 8);
	expectSameBytes(payload, frame.subarray(14, 14 + payload.length), 'quoted packet');
	const inner = decodeIp(payload);
	expect(inner.ip).toMatchObject({ src: sent.src, dst: sent.dst, tos: 0x8c });
	expect(inner.udp).toMatchObject({ sport: sent.sport, dport: sent.dport });
	expect(bytes.length).toBe(14 + header + 8 + payload.length);
}
