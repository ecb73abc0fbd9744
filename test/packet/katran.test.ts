/**
 * Runs the inputs of Katran's fixtures and checks their verdicts (katran/lib/testing/fixtures). The
 * outputs differ, because Katran encapsulates and we translate. VIPs with any port, and VIPs with
 * backends of the other family, are not Services.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ETH_ARP, type Packet, packet } from './builder.ts';
import { decode } from './decode.ts';
import { Dataplane, passed, program, redirected } from './fixture.ts';
import { fragments } from './fragments.ts';
import { expectSameBytes } from './hexdump.ts';
import type { Proto } from './services.ts';
import { ADDR, type FamilyName, MAC, TARGET_PORT } from './shape.ts';

const HOOKS = [program('ml_xdp'), program('ml_from_netdev')].map((hook) => ({ hook, name: hook.name }));
const VIP = { v4: '10.200.1.1', v6: 'fc00:1::1' } as const;
const CLIENT = { v4: '192.168.1.1', v6: 'fc00:2::1' } as const;
const VIPS: readonly [FamilyName, Proto][] = [
	['v4', 'tcp'],
	['v4', 'udp'],
	['v6', 'tcp'],
];
const PAYLOAD = 'katran test pkt';
const SPORT = 31_337;

const start = (tos = 0, family: FamilyName = 'v4', dst: string = VIP[family]): Packet =>
	packet().eth({ src: MAC.client, dst: MAC.node }).ip({ src: CLIENT[family], dst, tos });
const segment = (ip: Packet, proto: Proto, dport = 80, flags = 'A'): Uint8Array =>
	(proto === 'tcp' ? ip.tcp({ sport: SPORT, dport, flags }) : ip.udp({ sport: SPORT, dport }))
		.payload(PAYLOAD)
		.bytes();

/** Frames that match no VIP. */
const FOREIGN: [string, Uint8Array][] = [
	['UDP to a port of the VIP that it does not have', segment(start(), 'udp', 82)],
	['TCP to a port of the VIP that it does not have', segment(start(), 'tcp', 82)],
	['the same over IPv6', segment(start(0, 'v6'), 'tcp', 82)],
	['ARP', packet().eth({ type: ETH_ARP }).payload(new Uint8Array(28)).bytes()],
	['IPIP to another address', start(0, 'v4', '10.200.9.9').ipv4({ src: '10.0.0.1', dst: VIP.v4 }).bytes()],
	[
		'IPv4 in IPv6 to another address',
		start(0, 'v6', 'fc00:9::9').ext(0).ipv4({ src: '10.0.0.1', dst: VIP.v4 }).bytes(),
	],
	[
		'IPv6 in IPv6 to another address',
		start(0, 'v6', 'fc00:9::9').ipv6({ src: 'fc00::1', dst: VIP.v6 }).bytes(),
	],
];

describe('inputs of Katran’s fixtures', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		for (const [family, proto] of VIPS)
			plane.services.add({
				proto,
				frontends: [{ address: VIP[family], port: 80 }],
				backends: [ADDR[family].remote, ADDR[family].remote2].map((address) => ({
					address,
					port: TARGET_PORT,
				})),
			});
	});
	afterEach(() => plane.clear());
	afterAll(() => plane?.close());

	it.each(HOOKS.flatMap((hook) => VIPS.map(([family, proto]) => ({ ...hook, family, proto }))))(
		'$name: $proto to the IP$family VIP is forwarded, payload and ToS as they were (F-50, F-51, F-52)',
		({ hook, family, proto }) => {
			for (const tos of [0, 0x8c]) {
				const { action, bytes } = plane.run(hook, segment(start(tos, family), proto));
				expect(redirected(hook, action)).toBe(true);
				const { ip, payload, faults } = decode(bytes);
				expect(faults).toEqual([]);
				expect([ADDR[family].remote, ADDR[family].remote2]).toContain(ip!.dst);
				expect(ip!.tos).toBe(tos);
				expect(new TextDecoder().decode(payload)).toBe(PAYLOAD);
			}
		},
	);

	it.each(HOOKS.flatMap((hook) => FOREIGN.map(([what, frame]) => ({ ...hook, what, frame }))))(
		'$name: $what passes (F-50, F-51, F R-6)',
		({ hook, frame }) => {
			const { action, bytes } = plane.run(hook, frame);
			expect(passed(hook, action)).toBe(true);
			expectSameBytes(bytes, frame);
		},
	);

	it.each(HOOKS.flatMap((hook) => VIPS.map(([family, proto]) => ({ ...hook, family, proto }))))(
		'$name: the second packet of an IP$family $proto flow goes where the first went (F-50, F-55)',
		({ hook, family, proto }) => {
			const to = (flags: string) =>
				decode(plane.run(hook, segment(start(0, family), proto, 80, flags)).bytes).ip!.dst;
			expect(to('A')).toBe(to('S'));
		},
	);

	it.each(HOOKS)(
		'$name: IPv4 options and fragments are translated, where Katran drops them (F-50)',
		({ hook }) => {
			const options = packet()
				.eth({ dst: MAC.node })
				.ipv4({ src: CLIENT.v4, dst: VIP.v4, options: new Uint8Array(4).fill(1) });
			expect(redirected(hook, plane.run(hook, segment(options, 'tcp')).action)).toBe(true);
			const whole = start().udp({ sport: SPORT, dport: 80 }).payload(new Uint8Array(900)).bytes();
			const to = fragments(whole, 320, 4242).map((frame) => {
				const { action, bytes } = plane.run(hook, frame);
				expect(redirected(hook, action)).toBe(true);
				return decode(bytes).ip!.dst;
			});
			expect(new Set(to).size).toBe(1);
		},
	);
});
