import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../standalone/cluster/options.ts';
import { AddressPool } from '../../standalone/lb/pool.ts';

const free = () => true;

describe('AddressPool', () => {
	it('holds ranges, single addresses and CIDRs of both families', () => {
		const pool = new AddressPool('10.0.0.5-10.0.0.7, 10.0.1.1,10.0.2.0/30,fd00::10-fd00::1f');
		for (const address of ['10.0.0.5', '10.0.0.7', '10.0.1.1', '10.0.2.3', 'fd00::10', 'FD00:0::1F'])
			expect(pool.contains(address), address).toBe(true);
		for (const address of ['10.0.0.4', '10.0.0.8', '10.0.1.2', '10.0.2.4', 'fd00::20', 'x', ''])
			expect(pool.contains(address), address).toBe(false);
		expect([pool.has('IPv4'), pool.has('IPv6')]).toEqual([true, true]);
		expect(new AddressPool('10.0.0.5').has('IPv6')).toBe(false);
	});

	it('gives the lowest free address, range after range, and none when all are taken', () => {
		const pool = new AddressPool('10.0.0.254-10.0.1.0,10.0.9.9');
		const taken = new Set<string>();
		const given: (string | undefined)[] = [];
		for (let i = 0; i < 5; i++) {
			const address = pool.next('IPv4', (one) => !taken.has(one));
			given.push(address);
			if (address) taken.add(address);
		}
		expect(given).toEqual(['10.0.0.254', '10.0.0.255', '10.0.1.0', '10.0.9.9', undefined]);
		expect(pool.next('IPv6', free)).toBeUndefined();
	});

	it('contains whatever it gives', () => {
		fc.assert(
			fc.property(fc.nat(0xffff), fc.nat(200), fc.nat(200), (from, length, skip) => {
				const text = (n: number) => `10.0.${n >> 8}.${n & 255}`;
				const pool = new AddressPool(`${text(from)}-${text(Math.min(from + length, 0xffff))}`);
				let count = 0;
				const address = pool.next('IPv4', () => count++ >= skip);
				if (address !== undefined) expect(pool.contains(address)).toBe(true);
				else expect(skip).toBeGreaterThan(Math.min(length, 0xffff - from));
			}),
			{ numRuns: 200 },
		);
	});

	it.each([
		['', '""'],
		['10.0.0.1-', '"10.0.0.1-"'],
		['10.0.0.1-fd00::1', '"10.0.0.1-fd00::1"'],
		['10.0.0.1-10.0.0.2-10.0.0.3', 'expected a range like'],
		['10.0.0.0/33', '"10.0.0.0/33"'],
		['10.0.0.9-10.0.0.1', 'the last lies before the first'],
		['fd00::-fd01::', 'more than 65536'],
	])('refuses %j with its reason', (text, reason) => {
		expect(() => new AddressPool(text)).toThrow(reason);
	});
});

describe('--lb-pool', () => {
	const flags = {
		prefix: 'maglane',
		nodes: '2',
		families: 'v6,v4',
		state: 'x',
		port: '0',
		net: true,
		agents: true,
	};

	it('is a piece of the client’s network for each family by default', () => {
		expect(parseOptions(flags).lbPool).toBe('fd00:10::200-fd00:10::2ff,192.168.10.200-192.168.10.250');
		expect(parseOptions({ ...flags, families: 'v4' }).lbPool).toBe('192.168.10.200-192.168.10.250');
		expect(parseOptions({ ...flags, lbPool: 'none' })).not.toHaveProperty('lbPool');
	});

	it.each([
		['192.168.10.250-192.168.11.3', '192.168.11.3 is not in the client’s network, 192.168.10.100/24'],
		['192.168.10.100-192.168.10.120', '192.168.10.100 is the client’s own address'],
		['fd00:10::50-fd00:10::60', 'fd00:10::50 is for a node'],
		['192.168.10.240-192.168.10.255', '192.168.10.255 is no host’s address'],
		['many', 'expected a range like 192.168.10.200-192.168.10.250'],
	])('refuses %s: %s', (lbPool, reason) => {
		expect(() => parseOptions({ ...flags, lbPool })).toThrow(RangeError);
		const words = `Cannot use --lb-pool ${lbPool}: `;
		expect(() => parseOptions({ ...flags, lbPool })).toThrow(words);
		expect(() => parseOptions({ ...flags, lbPool })).toThrow(reason.replaceAll('’', "'"));
	});
});
