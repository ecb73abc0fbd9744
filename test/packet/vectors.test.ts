import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packet } from './builder.ts';
import { fromHex, toHex } from './bytes.ts';
import { decode } from './decode.ts';
import { Dataplane, passed, program, redirected } from './fixture.ts';
import { expectSameBytes } from './hexdump.ts';
import { ADDR, MAC } from './shape.ts';

interface Vector {
	name: string;
	in_frame_hex: string;
	expect: { ttl: number; l3_l4_hex: string; ip_csum: string; l4_csum: string }[];
}
const file = new URL('./vectors/packets_v4.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: [Vector, Vector, Vector] };
const [localVector, replyVector, remoteVector] = vectors;
const want = (vector: Vector, ttl: number) =>
	fromHex(vector.expect.find((one) => one.ttl === ttl)!.l3_l4_hex);

describe('the known-answer packets', () => {
	let plane: Dataplane;
	beforeAll(async () => {
		plane = await Dataplane.open('mlpp');
		plane.services.settings('10.0.10.1', ADDR.v6.node);
		plane.net.ip(
			'dut',
			'route add 192.168.0.2/32 via 192.168.10.12',
			'route add 110.0.11.1/32 via 192.168.10.100',
		);
		for (const [frontend, address, local] of [
			['172.16.10.1', '192.168.0.1', true],
			['172.16.10.2', '192.168.0.2', false],
		] as const)
			plane.services.add({
				proto: 'tcp',
				frontends: [{ address: frontend, port: 80 }],
				backends: [{ address, port: 8080, local }],
			});
	});
	afterAll(() => plane?.close());

	it('to a backend of this node, byte for byte (F-57, F-02)', () => {
		const hook = program('ml_from_netdev');
		const { action, bytes } = plane.run(hook, fromHex(localVector.in_frame_hex));
		expect(passed(hook, action)).toBe(true);
		expectSameBytes(bytes.subarray(14), want(localVector, 64));
	});

	it('the reply of that backend, byte for byte (F-57, F-02)', () => {
		const hook = program('ml_to_netdev');
		const { action, bytes } = plane.run(hook, fromHex(replyVector.in_frame_hex));
		expect(passed(hook, action)).toBe(true);
		expectSameBytes(bytes.subarray(14), want(replyVector, 64));
	});

	it.each(['ml_xdp', 'ml_from_netdev'] as const)(
		'%s: to a backend elsewhere, byte for byte (F-57, F-01)',
		(name) => {
			const hook = program(name);
			const { action, bytes } = plane.run(hook, fromHex(remoteVector.in_frame_hex));
			expect(redirected(hook, action)).toBe(true);
			const known = want(remoteVector, 63);
			// the IP header does not contain the port
			expect(toHex(bytes.subarray(14, 34))).toBe(toHex(known.subarray(0, 20)));
			const { tcp, payload } = decode(bytes);
			const withKnownPort = packet()
				.eth({ src: MAC.node, dst: MAC.node2 })
				.ipv4({ src: '10.0.10.1', dst: '192.168.0.2', ttl: 63 })
				.tcp({ ...tcp!, sport: 32768, checksum: parseInt(remoteVector.expect[1]!.l4_csum, 16) })
				.payload(payload);
			expectSameBytes(withKnownPort.bytes().subarray(14), known);
			expect(decode(bytes).faults).toEqual([]);
		},
	);
});
