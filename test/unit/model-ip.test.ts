import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endpointText, ipOfBytes, parseIp, unusable } from '../../agent/model/ip.ts';

describe('parseIp()', () => {
	it('agrees with node:net about any text', () => {
		const almost = fc
			.array(
				fc.constantFrom(':', '::', '.', '0', '1', '12', '255', '256', '01', 'f', 'ffff', 'g', '1.2.3.4', ' '),
				{
					maxLength: 12,
				},
			)
			.map((parts) => parts.join(''));
		fc.assert(
			fc.property(fc.oneof(almost, fc.ipV4(), fc.ipV6(), fc.string()), (text) => {
				fc.pre(!text.includes('%'));
				expect(parseIp(text)?.family ?? 0).toBe(isIP(text));
			}),
			{ numRuns: 5000 },
		);
	});

	it('reads back what it prints, and prints IPv6 as the URL parser does', () => {
		fc.assert(
			fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
				const ip = ipOfBytes(bytes);
				const again = parseIp(ip.text);
				expect(again?.text).toBe(ip.text);
				expect(again?.bytes).toEqual(bytes);
				if (ip.family === 6) expect(new URL(`http://[${ip.text}]`).hostname).toBe(`[${ip.text}]`);
			}),
		);
	});

	it.each([
		['2001:DB8::1', '2001:db8::1'],
		['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
		['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
		['0:0:0:0:0:0:0:0', '::'],
		['1:0:0:0:0:0:0:0', '1::'],
		['::1.2.3.4', '::102:304'],
		['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
	])('%s is %s (RFC 5952)', (text, canonical) => expect(parseIp(text)?.text).toBe(canonical));

	it.each([
		'',
		'1.2.3',
		'1.2.3.4.5',
		'1.2.3.04',
		'010.0.0.1',
		'1.2.3.256',
		'0x1.2.3.4',
		'fe80::1%eth0',
		'1::2::3',
		':1',
		'1:',
		'12345::',
		'1.2.3.4 ',
	])('refuses %j', (text) => expect(parseIp(text)).toBeUndefined());

	it('keeps IPv4 as mapped bytes', () => {
		expect([...parseIp('10.1.2.3')!.bytes]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 2, 3]);
	});
});

describe('unusable()', () => {
	it.each([
		['127.0.0.1', 'is a loopback address'],
		['127.255.1.2', 'is a loopback address'],
		['169.254.169.254', 'is link-local'],
		['224.0.0.1', 'is multicast'],
		['239.255.255.255', 'is multicast'],
		['0.0.0.0', 'is unspecified'],
		['255.255.255.255', 'is the broadcast address'],
		['::', 'is unspecified'],
		['::1', 'is a loopback address'],
		['fe80::1', 'is link-local'],
		['febf::1', 'is link-local'],
		['ff02::1', 'is multicast'],
		['::ffff:10.0.0.1', 'is an IPv4 address written as IPv6'],
	])('%s %s', (text, reason) => expect(unusable(parseIp(text)!)).toBe(reason));

	it.each([
		'10.0.0.1',
		'240.0.0.1',
		'169.253.1.1',
		'223.255.255.255',
		'fec0::1',
		'fd00::1',
		'2001:db8::1',
		'::2',
	])('%s is usable', (text) => expect(unusable(parseIp(text)!)).toBeUndefined());
});

describe('endpointText()', () => {
	it('brackets IPv6', () => {
		expect(endpointText(parseIp('10.0.0.1')!, 80)).toBe('10.0.0.1:80');
		expect(endpointText(parseIp('fd00::1')!, 80)).toBe('[fd00::1]:80');
	});
});
