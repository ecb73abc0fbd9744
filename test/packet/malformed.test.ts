import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FrontendScope } from '../../agent/abi/layout.ts';
import { ETH_IPV4, ETH_IPV6, packet } from './builder.ts';
import { concat } from './bytes.ts';
import { type Decoded, decode } from './decode.ts';
import { Dataplane, dropped, PROGRAMS, type Program, passed } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import {
	ADDR,
	CASES,
	FAMILIES,
	type FamilyName,
	frameOf,
	NODEPORT,
	type Shape,
	TARGET_PORT,
} from './shape.ts';

const LOCAL = NODEPORT + 1;
const NONE = NODEPORT + 2;

const shape = (family: FamilyName, proto: Shape['proto'], dport: number): Shape => {
	const { client, node } = ADDR[family];
	return { proto, src: client, dst: node, sport: 4000, dport, flags: 'S' };
};

/** Frames to a NodePort with wrong lengths. */
function liars(): [string, Uint8Array][] {
	const v4 = { src: ADDR.v4.client, dst: ADDR.v4.node };
	const v6 = { src: ADDR.v6.client, dst: ADDR.v6.node };
	const udp = { sport: 4000, dport: NODEPORT };
	const tcp = { ...udp, flags: 'S' };
	const start = packet().eth();
	return [
		...[0, 1, 4].map((ihl): [string, Uint8Array] => [
			`IHL ${ihl}`,
			start
				.ipv4({ ...v4, ihl })
				.udp(udp)
				.payload('abcdefgh')
				.bytes(),
		]),
		[
			'IHL beyond the frame',
			start
				.ipv4({ ...v4, ihl: 15 })
				.udp(udp)
				.bytes(),
		],
		[
			'total length 0',
			start
				.ipv4({ ...v4, totalLength: 0 })
				.udp(udp)
				.payload('abcdefgh')
				.bytes(),
		],
		[
			'total length below the header',
			start
				.ipv4({ ...v4, totalLength: 19 })
				.udp(udp)
				.bytes(),
		],
		[
			'total length that ends in the UDP header',
			start
				.ipv4({ ...v4, totalLength: 27 })
				.udp(udp)
				.bytes(),
		],
		[
			'total length that ends in the TCP header',
			start
				.ipv4({ ...v4, totalLength: 39 })
				.tcp(tcp)
				.bytes(),
		],
		[
			'total length beyond the frame',
			start
				.ipv4({ ...v4, totalLength: 1400 })
				.tcp(tcp)
				.bytes(),
		],
		[
			'payload length 0',
			start
				.ipv6({ ...v6, payloadLength: 0 })
				.udp(udp)
				.bytes(),
		],
		[
			'payload length that ends in the UDP header',
			start
				.ipv6({ ...v6, payloadLength: 7 })
				.udp(udp)
				.bytes(),
		],
		[
			'payload length beyond the frame',
			start
				.ipv6({ ...v6, payloadLength: 65535 })
				.tcp(tcp)
				.bytes(),
		],
	];
}

describe('malformed frames', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, remote, local } = ADDR[family];
			const places = [
				[NODEPORT, [{ address: remote, port: TARGET_PORT }]],
				[LOCAL, [{ address: local, port: TARGET_PORT, local: true }]],
				[NONE, []],
			] as const;
			for (const [port, backends] of places) {
				const frontends = [FrontendScope.EXTERNAL, FrontendScope.INTERNAL].map((scope) => ({
					address: node,
					port,
					scope,
				}));
				plane.services.add({ proto, frontends, backends });
			}
		}
	});
	beforeEach(() => plane.clear());
	afterAll(() => plane?.close());

	const expectLeft = (hook: Program, frame: Uint8Array) => {
		const { action, bytes } = plane.run(hook, frame);
		expect(passed(hook, action) || dropped(hook, action), `${hook.name} returned ${action}`).toBe(true);
		if (passed(hook, action)) expectSameBytes(bytes, frame);
		expect(plane.connections()).toEqual([]);
	};

	describe.each(PROGRAMS)('$name', (hook) => {
		it.each(liars())('leaves %s alone (F-48)', (_, frame) => {
			expectLeft(hook, frame);
		});

		it.each(CASES)('leaves every truncation of $proto over IP$family alone (F-48)', ({ family, proto }) => {
			const frame = frameOf({ ...shape(family, proto, NODEPORT), payload: 'abcdefgh' });
			for (let length = 15; length < frame.length; length++)
				if (runnable(hook, frame.subarray(0, length))) expectLeft(hook, frame.subarray(0, length));
		});

		it.each(FAMILIES)(
			'survives any change of a frame over IP%s, and forwards none that lies (F-48)',
			(family) => {
				fc.assert(
					fc.property(mutations(family), (frame) => {
						fc.pre(runnable(hook, frame));
						plane.clear();
						checkMutant(plane, hook, frame);
					}),
					{ numRuns: 1500 },
				);
			},
		);

		it('survives noise (F-48)', () => {
			fc.assert(
				fc.property(
					fc.uint8Array({ minLength: 15, maxLength: 200 }),
					fc.constantFrom(0x0800, 0x86dd),
					(noise, type) => {
						const frame = concat(noise);
						if (frame.length > 14) frame.set([type >> 8, type & 0xff], 12);
						fc.pre(runnable(hook, frame));
						checkMutant(plane, hook, frame);
					},
				),
				{ numRuns: 1500 },
			);
		});
	});
});

/**
 * BPF_PROG_TEST_RUN builds no skb from a frame that ends in its IP header. raw.test.ts sends such
 * frames over a wire.
 */
function runnable({ kind }: Program, frame: Uint8Array): boolean {
	const type = (frame[12]! << 8) | frame[13]!;
	const header = type === ETH_IPV4 ? 20 : type === ETH_IPV6 ? 40 : 1;
	return kind === 'xdp' || frame.length >= 14 + header;
}

/**
 * A frame to one of the Services with changed bytes after the MAC addresses, a truncated end or
 * extra bytes.
 */
function mutations(family: FamilyName): fc.Arbitrary<Uint8Array> {
	const frame = fc
		.tuple(fc.constantFrom('tcp' as const, 'udp' as const), fc.constantFrom(NODEPORT, LOCAL, NONE))
		.map(([proto, dport]) => frameOf(shape(family, proto, dport)));
	const change = fc.tuple(fc.integer({ min: 12, max: 90 }), fc.integer({ min: 0, max: 255 }));
	const changes = fc.array(change, { maxLength: 4 });
	return fc
		.tuple(frame, changes, fc.option(fc.nat(60)), fc.uint8Array({ maxLength: 8 }))
		.map(([bytes, edits, cut, tail]) => {
			const out = concat(bytes.subarray(0, cut === null ? bytes.length : bytes.length - cut), tail);
			for (const [at, value] of edits) if (at < out.length) out[at] = value;
			return out.length < 15 ? concat(out, new Uint8Array(15)) : out;
		});
}

function decodeOrNothing(frame: Uint8Array): Decoded | undefined {
	try {
		return decode(frame);
	} catch {
		return undefined;
	}
}

/**
 * Expects a known verdict for any input. A frame with wrong lengths is passed unchanged or dropped.
 * A translated frame with correct checksums keeps correct checksums.
 */
function checkMutant(plane: Dataplane, hook: Program, frame: Uint8Array): void {
	const { action, bytes } = plane.run(hook, frame);
	const known = hook.kind === 'xdp' ? [1, 2, 3, 4] : [-1, 2, 7];
	expect(known).toContain(action);
	const before = decodeOrNothing(frame);
	if (!before?.ip || before.faults.some((fault) => /length/.test(fault) && !/^UDP/.test(fault))) {
		expect(passed(hook, action) || dropped(hook, action), `verdict ${action} on a malformed frame`).toBe(
			true,
		);
		if (passed(hook, action)) expectSameBytes(bytes, frame);
	} else if (before.faults.length === 0 && !dropped(hook, action)) {
		expect(decode(bytes).faults).toEqual([]);
	}
}
