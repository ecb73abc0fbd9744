import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { concat, fromHex } from './bytes.ts';
import { decode, verifyChecksums } from './decode.ts';
import { Dataplane, type Program, passed, program, redirected } from './fixture.ts';
import { expectSameBytes, expectSent } from './hexdump.ts';
import {
	ADDR,
	CASES,
	type Case,
	FAMILIES,
	frameOf,
	MAC,
	NODEPORT,
	type Shape,
	TARGET_PORT,
} from './shape.ts';

const LOCAL = NODEPORT + 1;
const WAYS = [
	{ name: 'XDP to a remote backend', hook: program('ml_xdp'), dport: NODEPORT },
	{ name: 'TC to a remote backend', hook: program('ml_from_netdev'), dport: NODEPORT },
	{ name: 'TC to a local backend', hook: program('ml_from_netdev'), dport: LOCAL },
] as const;
const MATRIX = WAYS.flatMap((way) => CASES.map((one) => ({ ...way, ...one })));

describe('what a translation leaves alone', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const { family, proto } of CASES) {
			const { node, remote, local } = ADDR[family];
			const frontend = (port: number) => [{ address: node, port }];
			plane.services.add({
				proto,
				frontends: frontend(NODEPORT),
				backends: [{ address: remote, port: TARGET_PORT }],
			});
			const backends = [{ address: local, port: TARGET_PORT, local: true }];
			plane.services.add({ proto, frontends: frontend(LOCAL), backends });
		}
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	/** Runs the frame of a shape and compares the output with the frame of the translated shape. */
	const expectTranslated = (hook: Program, sent: Shape, family: Case['family']) => {
		const { action, bytes } = plane.run(hook, frameOf(sent));
		const { tcp, udp } = decode(bytes);
		const { sport } = (tcp ?? udp)!;
		const remote = {
			...{ src: ADDR[family].node, dst: ADDR[family].remote, sport, dport: TARGET_PORT },
			...{ ttl: (sent.ttl ?? 64) - 1, ethSrc: MAC.node, ethDst: MAC.node2 },
		};
		const local = { dst: ADDR[family].local, dport: TARGET_PORT };
		const want = frameOf({ ...sent, ...(sent.dport === LOCAL ? local : remote) });
		if (sent.dport === LOCAL) expectSameBytes(bytes, want);
		else expectSent(hook, bytes, want);
		expect(sent.dport === LOCAL ? passed(hook, action) : redirected(hook, action)).toBe(true);
		return bytes;
	};

	const sent = ({ family, proto, dport }: Case & { dport: number }): Shape => {
		const { client, node } = ADDR[family];
		return { proto, src: client, dst: node, sport: 4000, dport };
	};

	it.each(MATRIX)('$name $proto IP$family: ToS, id, flow label (F-52, F R-1)', ({ hook, ...one }) => {
		for (const tos of [0x00, 0x8c, 0xff])
			expectTranslated(hook, { ...sent(one), tos, id: 0xbeef, flowLabel: 0xabcde }, one.family);
	});

	it.each(MATRIX)('$name $proto IP$family: TTLs down to 2 (F-48, F R-1)', ({ hook, ...one }) => {
		for (const ttl of [255, 128, 3, 2]) expectTranslated(hook, { ...sent(one), ttl }, one.family);
	});

	it.each(MATRIX)('$name $proto IP$family: payloads of any length (F R-1)', ({ hook, ...one }) => {
		for (const length of [0, 1, 2, 3, 63, 512, 1399])
			expectTranslated(hook, { ...sent(one), payload: new Uint8Array(length).fill(0xa5) }, one.family);
	});

	it.each(WAYS.flatMap((way) => (['tcp', 'udp'] as const).map((proto) => ({ ...way, proto }))))(
		'$name $proto: IPv4 options (F-48, F R-2)',
		({ hook, proto, dport }) => {
			for (const options of ['94040000', `0727${'00'.repeat(38)}`])
				expectTranslated(
					hook,
					{ ...sent({ family: 'v4', proto, dport }), ipOptions: fromHex(options) },
					'v4',
				);
		},
	);

	it.each(WAYS.flatMap((way) => FAMILIES.map((family) => ({ ...way, family }))))(
		'$name IP$family: TCP options and flags (F R-1)',
		({ hook, family, dport }) => {
			const base = sent({ family, proto: 'tcp', dport });
			for (const flags of ['S', 'SEC', 'A', 'PAU', 'SF', 'FSRPAUEC', '']) {
				plane.clear();
				expectTranslated(
					hook,
					{ ...base, flags, tcpOptions: fromHex('020405b40402080a0102030405060708') },
					family,
				);
			}
			expectTranslated(hook, { ...base, tcpOptions: new Uint8Array(40).fill(1) }, family);
		},
	);

	it.each(WAYS)('$name: a UDP checksum of 0 over IPv4 stays 0 (F R-1)', ({ hook, dport }) => {
		const bytes = expectTranslated(
			hook,
			{ ...sent({ family: 'v4', proto: 'udp', dport }), udpChecksum: 0 },
			'v4',
		);
		expect(decode(bytes).udp?.checksum).toBe(0);
	});

	it.each(MATRIX.filter(({ proto }) => proto === 'udp'))(
		'$name IP$family: a UDP checksum that becomes 0 is sent as ffff (F R-1)',
		({ hook, ...one }) => {
			const zeros = { ...sent(one), payload: fromHex('0000') };
			const { checksum } = decode(expectTranslated(hook, zeros, one.family)).udp!;
			const payload = Uint8Array.from([checksum >> 8, checksum & 0xff]);
			const bytes = expectTranslated(hook, { ...zeros, payload }, one.family);
			expect(decode(bytes).udp?.checksum).toBe(0xffff);
			verifyChecksums(bytes);
		},
	);

	it.each(MATRIX)('$name $proto IP$family: what pads a short frame stays behind it', ({ hook, ...one }) => {
		const padding = fromHex('de ad be ef 00 01');
		const bare = expectTranslated(hook, { ...sent(one), payload: '' }, one.family);
		const { bytes } = plane.run(hook, concat(frameOf({ ...sent(one), payload: '' }), padding));
		expectSameBytes(bytes, concat(bare, padding));
	});
});
