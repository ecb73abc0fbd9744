import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXT_HOP_BY_HOP, PROTO_UDP, packet } from '../packet/builder.ts';
import { fromHex, ipText, ipv6Bytes, toHex } from '../packet/bytes.ts';
import { decode, decodeIp, verifyChecksums } from '../packet/decode.ts';
import { fragments } from '../packet/fragments.ts';
import { expectSameBytes, hexdumpDiff } from '../packet/hexdump.ts';

interface Vector {
	name: string;
	in_frame_hex: string;
	expect: { ttl: number; l3_l4_hex: string }[];
}
const { vectors } = JSON.parse(
	readFileSync(new URL('../packet/vectors/packets_v4.json', import.meta.url), 'utf8'),
) as { vectors: Vector[] };
const payload = 'Should not change!!\0';
const seq = 0x40e20100;

describe('packet()', () => {
	it('builds the known frames byte for byte', () => {
		const eth = { src: 'de:ad:be:ef:de:ef', dst: 'ce:72:a7:03:88:56' };
		const start = packet().eth(eth);
		const built = [
			start.ipv4({ src: '110.0.11.1', dst: '172.16.10.1' }).tcp({ sport: 111, dport: 80, flags: 'S', seq }),
			start
				.ipv4({ src: '192.168.0.1', dst: '110.0.11.1' })
				.tcp({ sport: 8080, dport: 111, flags: 'SA', seq }),
			start.ipv4({ src: '110.0.11.1', dst: '172.16.10.2' }).tcp({ sport: 111, dport: 80, flags: 'S', seq }),
		];
		built.forEach((one, i) => {
			expectSameBytes(one.payload(payload).bytes(), fromHex(vectors[i]!.in_frame_hex));
		});
	});

	it('sums UDP over IPv6 over the words that RFC 8200 section 8.1 lists', () => {
		const frame = packet()
			.eth()
			.ipv6({ src: '2001:db8::1', dst: '2001:db8::2' })
			.udp({ sport: 1024, dport: 53 })
			.payload(fromHex('0001'))
			.bytes();
		const words = [0x2001, 0x0db8, 1, 0x2001, 0x0db8, 2, 10, 17, 1024, 53, 10, 1];
		const sum = words.reduce((total, word) => total + word, 0);
		expect(decode(frame).udp?.checksum).toBe(~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
	});

	it('writes a computed UDP checksum of 0 as ffff and leaves an asked-for 0', () => {
		const start = packet().eth().ipv4({ src: '10.0.0.1', dst: '10.0.0.2' });
		const bare = decode(start.udp({ sport: 1, dport: 2 }).payload(fromHex('0000')).bytes());
		const complement = bare.udp!.checksum.toString(16).padStart(4, '0');
		const zero = start.udp({ sport: 1, dport: 2 }).payload(fromHex(complement)).bytes();
		expect(decode(zero).udp?.checksum).toBe(0xffff);
		verifyChecksums(zero);
		expect(decode(start.udp({ sport: 1, dport: 2, checksum: 0 }).bytes()).udp?.checksum).toBe(0);
	});

	it('puts tags, options and extension headers where they belong', () => {
		const v4 = packet()
			.eth()
			.vlan(42)
			.ipv4({ src: '10.0.0.1', dst: '10.0.0.2', options: fromHex('94040000'), tos: 0x8c, ttl: 3, id: 99 })
			.tcp({ sport: 1, dport: 2, flags: 'SEC', options: fromHex('020405b4') })
			.payload('abc')
			.bytes();
		const got = decode(v4);
		expect(got.faults).toEqual([]);
		expect(got.vlans).toEqual([42]);
		expect(got.ip).toMatchObject({ ttl: 3, tos: 0x8c, id: 99, options: fromHex('94040000') });
		expect(got.tcp).toMatchObject({ flags: 'SEC', options: fromHex('020405b4') });
		expect(new TextDecoder().decode(got.payload)).toBe('abc');

		const v6 = packet()
			.eth()
			.ipv6({ src: 'fd00::1', dst: 'fd00::2', trafficClass: 0x8c })
			.ext(EXT_HOP_BY_HOP);
		const inner = decode(v6.icmp6({ type: 128, rest: 0x10002 }).payload('ping').bytes());
		expect(inner.faults).toEqual([]);
		expect(inner.ip).toMatchObject({ proto: 58, tos: 0x8c, totalLength: 60 });
		expect(inner.icmp).toMatchObject({ type: 128, rest: 0x10002 });
	});
});

describe('decode()', () => {
	it.each(['ip', 'transport'])('names a wrong %s checksum', (which) => {
		const frame = packet()
			.eth()
			.ipv4({ src: '10.0.0.1', dst: '10.0.0.2' })
			.tcp({ sport: 1, dport: 2 })
			.bytes();
		const at = which === 'ip' ? 14 + 10 : 14 + 20 + 16;
		frame[at] = frame[at]! ^ 1;
		expect(() => verifyChecksums(frame)).toThrow(which === 'ip' ? /IPv4 header checksum/ : /TCP checksum/);
	});

	it('finds nothing wrong in the known rewritten packets', () => {
		for (const { l3_l4_hex } of vectors.flatMap((vector) => vector.expect))
			expect(decodeIp(fromHex(l3_l4_hex)).faults).toEqual([]);
	});

	it('refuses UDP without a checksum over IPv6', () => {
		const frame = packet().eth().ipv6({ src: 'fd00::1', dst: 'fd00::2' });
		expect(() => verifyChecksums(frame.udp({ sport: 1, dport: 2, checksum: 0 }).bytes())).toThrow(/IPv6/);
	});
});

describe('fragments()', () => {
	it.each([
		['10.0.0.1', '10.0.0.2'],
		['fd00::1', 'fd00::2'],
	])('cuts %s -> %s so that the parts join to the whole', (src, dst) => {
		const whole = packet()
			.eth()
			.ip({ src, dst })
			.udp({ sport: 1, dport: 2 })
			.payload(new Uint8Array(100))
			.bytes();
		const parts = fragments(whole, 48).map(decode);
		expect(parts.map(({ ip }) => [ip!.fragmentOffset, ip!.moreFragments, ip!.proto])).toEqual([
			[0, true, PROTO_UDP],
			[48, true, PROTO_UDP],
			[96, false, PROTO_UDP],
		]);
		expect(parts.flatMap(({ faults }) => faults)).toEqual([]);
		expect(parts[0]!.udp).toMatchObject({ sport: 1, dport: 2, length: 108 });
	});
});

describe('ipText()', () => {
	it.each([
		'::',
		'::1',
		'fd00:10::11',
		'2001:db8::1:0:0:1',
		'::ffff:a00:1',
		'1:2:3:4:5:6:7:8',
		'fd00:244:1::',
	])('returns %s after ipv6Bytes()', (text) => {
		expect(ipText(ipv6Bytes(text))).toBe(text);
	});
	it('reads a dotted tail', () => {
		expect(toHex(ipv6Bytes('::ffff:10.0.0.1'))).toBe(`${'0'.repeat(20)}ffff0a000001`);
	});
});

describe('hexdumpDiff()', () => {
	it('marks the bytes that differ and only those', () => {
		const a = Uint8Array.from({ length: 20 }, (_, i) => i);
		const b = a.slice();
		b[17] = 0xff;
		const dump = hexdumpDiff(a, b);
		expect(dump).toContain('- 0010  10 11 12 13\n+ 0010  10 ff 12 13\n           ^^');
		expect(dump).toContain('  0000  00 01');
	});
});
