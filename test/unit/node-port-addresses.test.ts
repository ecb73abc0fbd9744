import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Cidr, contains, nodePortAddresses, parseCidr } from '../../agent/model/cidr.ts';
import { ipOfBytes, parseIp } from '../../agent/model/ip.ts';
import { node, service, slice } from './reconcile-objects.ts';
import { Rig } from './reconcile-rig.ts';

const ips = (...texts: string[]) => texts.map((text) => parseIp(text)!);
const cidrs = (...texts: string[]): Cidr[] => texts.map((text) => parseCidr(text)!);

describe('parseCidr()', () => {
	it.each(['0.0.0.0/0', '10.20.30.51/24', '255.255.255.255/32', '::/0', 'fd00::1/128'])(
		'reads %s',
		(text) => {
			const cidr = parseCidr(text)!;
			expect(`${cidr.ip.text}/${cidr.bits}`).toBe(text);
		},
	);

	it.each([
		...['', '10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/08', '10.0.0.0/8/8', '10.0.0/8'],
		...['::/129', 'fd00::/64x', '010.0.0.0/8', 'primary', '/8', ' 10.0.0.0/8'],
	])('refuses %j', (text) => {
		expect(parseCidr(text)).toBeUndefined();
	});
});

describe('contains()', () => {
	it.each([
		['10.20.30.0/24', '10.20.30.255', true],
		['10.20.30.51/24', '10.20.30.1', true],
		['10.20.30.0/24', '10.20.31.0', false],
		['10.0.0.0/9', '10.127.255.255', true],
		['10.0.0.0/9', '10.128.0.0', false],
		['10.0.0.1/32', '10.0.0.1', true],
		['10.0.0.1/32', '10.0.0.0', false],
		['0.0.0.0/0', '203.0.113.9', true],
		['0.0.0.0/0', 'fd00::1', false],
		['::/0', '203.0.113.9', false],
		['::/0', 'fd00::1', true],
		['fd00:10::/61', 'fd00:10:0:7::1', true],
		['fd00:10::/61', 'fd00:10:0:8::1', false],
		['fd00::1/128', 'fd00::1', true],
	])('%s has %s: %s', (cidr, ip, expected) => {
		expect(contains(parseCidr(cidr)!, parseIp(ip)!)).toBe(expected);
	});

	it('compares as many bits as the prefix has', () => {
		const address = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
			bytes[0] = 0xfd;
			return ipOfBytes(bytes);
		});
		const bitsOf = (bytes: Uint8Array) =>
			Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
		fc.assert(
			fc.property(address, fc.nat(128), fc.nat(127), (ip, bits, flipped) => {
				const other = Uint8Array.from(ip.bytes);
				other[flipped >> 3]! ^= 0x80 >> (flipped & 7);
				const expected = bitsOf(ip.bytes).slice(0, bits) === bitsOf(other).slice(0, bits);
				expect(contains({ ip, bits }, { family: 6, text: '', bytes: other })).toBe(expected);
			}),
		);
	});
});

describe('nodePortAddresses() (B-30)', () => {
	const LOCAL = ips('10.20.30.51', '100.200.201.1', '127.0.0.1', '2001:db8::1', '::1');
	it.each([
		// without loopback, because sockets serve 127.0.0.1 and ::1 with every selection
		[['0.0.0.0/0'], ['10.20.30.51', '100.200.201.1', '2001:db8::1']],
		[
			['0.0.0.0/0', '::/0'],
			['10.20.30.51', '100.200.201.1', '2001:db8::1'],
		],
		[['10.20.30.0/24'], ['10.20.30.51', '2001:db8::1']],
		[['127.0.0.1/32'], ['2001:db8::1']],
		[
			['100.200.201.0/24', '10.20.30.51/32', '::1/128'],
			['10.20.30.51', '100.200.201.1'],
		],
		[['192.0.2.0/24', '2001:db8:1::/48'], []],
		[['2001:db8::/32'], ['10.20.30.51', '100.200.201.1', '2001:db8::1']],
	])('%j', (given, expected) => {
		expect(nodePortAddresses(cidrs(...given), LOCAL).map((ip) => ip.text)).toEqual(expected);
	});

	it('leaves out what only a device gives a meaning', () => {
		const local = ips('169.254.20.10', 'fe80::1', '127.0.0.53');
		expect(nodePortAddresses(cidrs('0.0.0.0/0', '::/0'), local)).toEqual([]);
	});
});

describe('Reconciler with nodePortCidrs', () => {
	const objects: [Record<string, object>, Record<string, object>] = [
		{
			'ns/np': service('ns/np', { ports: [{ port: 80, nodePort: 30080 }], spec: { type: 'NodePort' } }),
			'ns/ip': service('ns/ip', { ips: ['10.96.0.2'] }),
		},
		{ 'ns/np-x': slice('np', ['10.0.0.1']) },
	];
	const setup = (): Rig => new Rig({ nodePortCidrs: cidrs('10.20.0.0/16') }).add(...objects).listed();
	const served = (rig: Rig) =>
		[...rig.dump().matchAll(/(\S+):30080\/tcp internal/g)].map(([, address]) => address).sort();

	it('writes nothing before the addresses are known', () => {
		const rig = setup();
		expect(rig.reconciler.sync()).toBeUndefined();
		expect(rig.reconciler.snapshot().synced).toBe(false);
		rig.reconciler.setLocalAddresses(['10.20.30.51', '192.168.10.11']);
		expect(served(rig.sync())).toEqual(['10.20.30.51', '127.0.0.1']);
	});

	it('follows addresses that come and go, and translates Services with NodePorts only', () => {
		const rig = setup();
		rig.reconciler.setLocalAddresses(['10.20.30.51']);
		rig.sync();
		rig.reconciler.setLocalAddresses(['10.20.30.51', '10.20.30.52']);
		expect(rig.reconciler.sync()).toMatchObject({ translated: 1 });
		expect(served(rig)).toEqual(['10.20.30.51', '10.20.30.52', '127.0.0.1']);
		rig.reconciler.setLocalAddresses(['10.20.30.52', '172.16.0.1']);
		expect(served(rig.sync())).toEqual(['10.20.30.52', '127.0.0.1']);
		rig.reconciler.setLocalAddresses(['10.20.30.52', '172.16.0.2']);
		expect(rig.reconciler.sync()).toMatchObject({ translated: 0 });
	});

	it("keeps them when the Node's own addresses change", () => {
		const rig = setup();
		rig.reconciler.setLocalAddresses(['10.20.30.51']);
		rig.sync();
		rig.sinks.node.upsert('node1', node(['192.168.10.99']));
		expect(served(rig.sync())).toEqual(['10.20.30.51', '127.0.0.1']);
	});
});
