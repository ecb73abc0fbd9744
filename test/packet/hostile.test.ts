/**
 * Sends hostile packets to Service addresses. Each gets a verdict and a counted reason. Packets
 * without a decision reach the stack unchanged.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FrontendFlag, FrontendScope } from '../../agent/abi/layout.ts';
import { PROTO_TCP, packet } from './builder.ts';
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
	turned,
} from './shape.ts';

const xdp = program('ml_xdp');
const fromNetdev = program('ml_from_netdev');
const fromPod = program('ml_from_pod');
const OUTSIDE = [xdp, fromNetdev];
const LOCAL = NODEPORT + 1;
const NONE = NODEPORT + 2;
const MATRIX = OUTSIDE.flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one })));

/** Addresses that are invalid as sources. */
const MARTIANS = {
	v4: ['127.0.0.1', '127.9.9.9', '0.0.0.0', '0.1.2.3', '224.0.0.1', '239.1.2.3', '255.255.255.255'],
	v6: ['::1', '::', 'ff02::1', 'ff0e::1234'],
} as const;

describe('hostile packets', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, clusterIp, remote, local } = ADDR[family];
			const add = (port: number, backends: Parameters<typeof plane.services.add>[0]['backends']) =>
				plane.services.add({ proto, frontends: [{ address: node, port }], backends });
			add(NODEPORT, [{ address: remote, port: TARGET_PORT }]);
			add(LOCAL, [{ address: local, port: TARGET_PORT, local: true }]);
			add(NONE, []);
			const scope = FrontendScope.INTERNAL;
			plane.services.add({
				proto,
				frontends: [
					{ address: clusterIp, port: SERVICE_PORT, scope },
					{
						address: family === 'v4' ? '127.0.0.1' : '::1',
						port: NODEPORT,
						scope,
						flags: FrontendFlag.NODEPORT | FrontendFlag.LOOPBACK,
					},
				],
				backends: [{ address: remote, port: TARGET_PORT }],
			});
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	const from = (family: FamilyName, proto: Shape['proto'], changes: Partial<Shape> = {}): Shape => {
		const { client, node } = ADDR[family];
		return { proto, src: client, dst: node, sport: 4000, dport: NODEPORT, flags: 'S', ...changes };
	};
	const expectDropped = (hook: Program, shape: Shape, reason: string) => {
		const { result, reasons } = plane.counting(() => plane.run(hook, frameOf(shape)));
		expect(dropped(hook, result.action)).toBe(true);
		expect(reasons).toEqual({ [reason]: 1 });
		expect(plane.connections()).toEqual([]);
	};
	const expectLeft = (hook: Program, frame: Uint8Array, reason: string) => {
		const { result, reasons } = plane.counting(() => plane.run(hook, frame));
		expect(passed(hook, result.action)).toBe(true);
		expectSameBytes(result.bytes, frame);
		expect(reasons).toEqual({ [reason]: 1 });
		expect(plane.connections()).toEqual([]);
	};

	it.each(MATRIX)(
		'$name $proto IP$family: source and destination alike (land) is dropped (F-48)',
		({ hook, family, proto }) => {
			const { node } = ADDR[family];
			for (const dport of [NODEPORT, LOCAL, NONE])
				expectDropped(hook, from(family, proto, { src: node, sport: dport, dport }), 'DROP_MARTIAN');
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: a source of loopback, of a group or of nobody is dropped (F-48)',
		({ hook, family, proto }) => {
			for (const src of MARTIANS[family])
				for (const dport of [NODEPORT, LOCAL, NONE])
					expectDropped(hook, from(family, proto, { src, dport }), 'DROP_MARTIAN');
		},
	);

	it.each(CASES)(
		'ml_from_pod $proto IP$family: neither may a pod pretend them (F-48)',
		({ family, proto }) => {
			const dst = ADDR[family].clusterIp;
			for (const src of [...MARTIANS[family], dst])
				expectDropped(fromPod, from(family, proto, { src, dst, dport: SERVICE_PORT }), 'DROP_MARTIAN');
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: a Service’s address as source is a client like others',
		({ hook, family, proto }) => {
			const out = plane.run(hook, frameOf(from(family, proto, { src: ADDR[family].clusterIp })));
			expect(redirected(hook, out.action)).toBe(true);
		},
	);

	it.each(
		[xdp, fromNetdev, fromPod].flatMap((hook) => CASES.map((one) => ({ hook, name: hook.name, ...one }))),
	)(
		'$name $proto IP$family: to loopback from a wire or a pod is no Service’s, whatever ports that has (F-48)',
		({ hook, family, proto }) => {
			const dst = family === 'v4' ? '127.0.0.1' : '::1';
			expectLeft(hook, frameOf(from(family, proto, { dst })), 'PASS_NOT_SERVICE');
		},
	);

	it.each(MATRIX.filter(({ family }) => family === 'v4'))(
		'$name $proto: a client in 240/4 is served, as the stack of the node takes it',
		({ hook, family, proto }) => {
			for (const src of ['240.1.2.3', '255.255.255.254']) {
				const out = plane.run(hook, frameOf(from(family, proto, { src })));
				expect(redirected(hook, out.action)).toBe(true);
			}
		},
	);

	it.each(CASES)(
		'$proto IP$family: of TTL 0 or 1 nothing is forwarded, a local pod’s is the stack’s',
		(one) => {
			const { family, proto } = one;
			for (const ttl of [0, 1]) {
				expectLeft(xdp, frameOf(from(family, proto, { ttl })), 'PASS_FIB');
				const { result, reasons } = plane.counting(() =>
					plane.run(fromNetdev, frameOf(from(family, proto, { ttl }))),
				);
				expect(dropped(fromNetdev, result.action)).toBe(true);
				expect(reasons['DROP_TTL']).toBe(1);
				plane.clear();
				const local = plane.run(fromNetdev, frameOf(from(family, proto, { ttl, dport: LOCAL })));
				expect(passed(fromNetdev, local.action)).toBe(true);
				expect(decode(local.bytes).ip!.ttl).toBe(ttl);
				plane.clear();
			}
		},
	);

	it.each(MATRIX)('$name $proto IP$family: what goes round between nodes loses a hop each time', (one) => {
		const { hook, family, proto } = one;
		let shape = from(family, proto, { ttl: 5 });
		let hops = 0;
		for (;;) {
			const { action, bytes } = plane.run(hook, frameOf(shape));
			if (!redirected(hook, action)) break;
			hops++;
			// another host returns the translated packet to the NodePort
			const { ip, tcp, udp } = decode(bytes);
			shape = { ...shape, src: ADDR[family].client2, sport: (tcp ?? udp)!.sport, ttl: ip!.ttl };
		}
		expect(hops).toBe(4);
	});

	it.each(OUTSIDE.flatMap((hook) => FAMILIES.map((family) => ({ hook, name: hook.name, family }))))(
		'$name IP$family: a TCP header that says it is shorter than one is left to the stack (F-48)',
		({ hook, family }) => {
			const { client: src, node: dst } = ADDR[family];
			for (const dataOffset of [0, 1, 4]) {
				const frame = packet()
					.eth({ src: MAC.client, dst: MAC.node })
					.ip({ src, dst })
					.tcp({ sport: 4000, dport: NODEPORT, flags: 'S', dataOffset })
					.payload('x')
					.bytes();
				expectLeft(hook, frame, 'PASS_MALFORMED');
			}
		},
	);

	it.each(OUTSIDE.map((hook) => ({ hook, name: hook.name })))(
		'$name: a first fragment too small for a TCP header is left to the stack (F-48, F R-2)',
		({ hook }) => {
			const { client: src, node: dst } = ADDR.v4;
			const whole = packet()
				.eth()
				.ipv4({ src, dst })
				.tcp({ sport: 4000, dport: NODEPORT, flags: 'S' })
				.bytes();
			const tiny = packet()
				.eth()
				.ipv4({ src, dst, id: 99, moreFragments: true, proto: PROTO_TCP })
				.payload(whole.slice(34, 42))
				.bytes();
			expectLeft(hook, tiny, 'PASS_MALFORMED');
		},
	);

	it.each(OUTSIDE.map((hook) => ({ hook, name: hook.name })))(
		'$name: UDP over IPv6 without a checksum, which RFC 8200 forbids, gets none',
		({ hook }) => {
			const { action, bytes } = plane.run(hook, frameOf(from('v6', 'udp', { udpChecksum: 0 })));
			expect(redirected(hook, action)).toBe(true);
			expect(decode(bytes).udp!.checksum).toBe(0);
		},
	);

	it.each(MATRIX.filter(({ proto }) => proto === 'tcp'))(
		'$name IP$family: flags that contradict each other go to the backend, which judges them',
		({ hook, family }) => {
			for (const flags of ['FS', 'SR', 'FSRPAU', '']) {
				plane.clear();
				const { action, bytes } = plane.run(hook, frameOf(from(family, 'tcp', { flags })));
				expect(redirected(hook, action)).toBe(true);
				expect(decode(bytes).tcp!.flags).toBe(flags);
			}
		},
	);

	it.each(MATRIX)(
		'$name $proto IP$family: a reply to a port that no flow has is not translated (F R-6)',
		({ hook, family, proto }) => {
			const { node, remote } = ADDR[family];
			const answer = turned(
				from(family, proto, { src: node, dst: remote, sport: 12_345, dport: TARGET_PORT }),
			);
			expectLeft(hook, frameOf({ ...answer, flags: 'SA' }), 'PASS_NOT_SERVICE');
		},
	);
});
