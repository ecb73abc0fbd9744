import { describe, expect, test } from 'vitest';
import { canonicalIp, familyOf, IpRange, staticIpBand } from '../../standalone/alloc/ip-range.ts';
import { PortRange, staticPortBand } from '../../standalone/alloc/port-range.ts';

const drain = <T>(next: () => T, count: number): T[] => Array.from({ length: count }, next);

describe('IpRange', () => {
	test('C-17: a /24 has 254 addresses, all handed out once, without base and broadcast', () => {
		const range = new IpRange('192.168.1.0/24');
		expect(range.free).toBe(254);
		const all = new Set(drain(() => range.next(), 254));
		expect(all.size).toBe(254);
		expect(all.has('192.168.1.0')).toBe(false);
		expect(all.has('192.168.1.255')).toBe(false);
		expect(() => range.next()).toThrow('range is full');
		range.release('192.168.1.77');
		expect(range.next()).toBe('192.168.1.77');
	});

	test.each(['192.168.1.0', '192.168.1.255', '10.0.0.1', '2001:db8::1'])('refuses %s', (address) => {
		expect(() => new IpRange('192.168.1.0/24').take(address)).toThrow(
			`the provided IP (${address}) is not in the valid range. The range of valid IPs is 192.168.1.0/24`,
		);
	});

	test.each([
		['10.0.0.0/30', 2],
		['10.0.0.0/16', 65_534],
		['fd00::/112', 65_535],
		['fd00::/64', 65_535],
		['10.0.0.0/31', 0],
	])('%s has %i usable addresses', (cidr, free) => expect(new IpRange(cidr).free).toBe(free));

	test('IPv6 leaves out the base and uses the last address', () => {
		const range = new IpRange('fd00::/120');
		expect(() => range.take('fd00::')).toThrow('not in the valid range');
		range.take('fd00::ff');
		expect(() => range.take('fd00:0:0::00ff')).toThrow('provided IP is already allocated');
	});

	test('C R-3: dynamic addresses come from above the band until that is exhausted', () => {
		const range = new IpRange('10.96.0.0/24');
		const band = staticIpBand(256n);
		expect(band).toBe(16);
		const upper = drain(() => range.next(), 254 - band).map((ip) => Number(ip.split('.')[3]));
		expect(Math.min(...upper)).toBe(band + 1);
		const lower = drain(() => range.next(), band).map((ip) => Number(ip.split('.')[3]));
		expect(Math.max(...lower)).toBe(band);
	});

	test.each([
		[8n, 0],
		[16n, 16],
		[256n, 16],
		[1024n, 64],
		[65_536n, 256],
		[1n << 64n, 256],
	])('band of %i addresses is %i', (size, band) => expect(staticIpBand(size)).toBe(band));

	test('a malformed range is named', () => {
		expect(() => new IpRange('10.0.0.0')).toThrow('Parsing service CIDR 10.0.0.0');
		expect(() => new IpRange('10.0.0.0/33')).toThrow(RangeError);
	});
});

describe('familyOf() and canonicalIp()', () => {
	test.each([
		['10.0.0.1', 'IPv4'],
		['fd00::1', 'IPv6'],
		['010.0.0.1', undefined],
		['10.1', undefined],
		['fe80::1%eth0', undefined],
		['None', undefined],
		['', undefined],
	])('%s -> %s', (address, family) => expect(familyOf(address)).toBe(family));

	test('IPv6 is written as RFC 5952', () => expect(canonicalIp('FD00:0:0::00AB')).toBe('fd00::ab'));
});

describe('PortRange', () => {
	test('C-16: 10000-10200', () => {
		const range = new PortRange('10000-10200');
		expect(range.free).toBe(201);
		expect(new Set(drain(() => range.next(), 201)).size).toBe(201);
		expect(() => range.next()).toThrow('range is full');
		range.release(10_100);
		expect(range.next()).toBe(10_100);
		for (const port of [1, 20_000, 10_201])
			expect(() => range.take(port)).toThrow(
				'provided port is not in the valid range. The range of valid ports is 10000-10200',
			);
		expect(() => range.take(10_100)).toThrow('provided port is already allocated');
	});

	test('C R-4: the band of 30000-32767 is 86 ports, left alone by dynamic allocation', () => {
		expect(staticPortBand(2768)).toBe(86);
		expect(staticPortBand(100)).toBe(16);
		expect(staticPortBand(10_000)).toBe(128);
		const range = new PortRange('30000-32767');
		const dynamic = drain(() => range.next(), 2768 - 86);
		expect(Math.min(...dynamic)).toBe(30_086);
		expect(range.next()).toBeLessThan(30_086);
	});
});
