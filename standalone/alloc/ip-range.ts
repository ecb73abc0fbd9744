import ipaddr from 'ipaddr.js';
import { AllocationError, BandAllocator } from './band.ts';

export type Family = 'IPv4' | 'IPv6';

/**
 * The family of a textual address. Undefined for all other text, also for IPv4-mapped IPv6, zones
 * and legacy octal.
 */
export function familyOf(address: string): Family | undefined {
	if (ipaddr.IPv4.isValidFourPartDecimal(address)) return 'IPv4';
	return address.includes(':') && !address.includes('%') && ipaddr.IPv6.isValid(address) ? 'IPv6' : undefined;
}

/** The address as a number, for either family. */
export function toNumber(address: string): bigint {
	return ipaddr
		.parse(address)
		.toByteArray()
		.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

export function toText(value: bigint, family: Family): string {
	const length = family === 'IPv4' ? 4 : 16;
	const bytes = Array.from({ length }, (_, at) => Number((value >> BigInt((length - 1 - at) * 8)) & 0xffn));
	const address = ipaddr.fromByteArray(bytes);
	return address.kind() === 'ipv6' ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** The canonical text of an address, for IPv6 as in RFC 5952. */
export const canonicalIp = (address: string): string => toText(toNumber(address), familyOf(address)!);

/** The canonical text of a CIDR; undefined if it is malformed. */
export function canonicalCidr(cidr: string): string | undefined {
	try {
		return new IpRange(cidr).cidr;
	} catch {
		return undefined;
	}
}

/** Whether the range contains the address. The first and last address of the range count. */
export const inCidr = (address: string, cidr: string): boolean => new IpRange(cidr).contains(address);

const BAND = { min: 16, max: 256, step: 16 };
const LARGEST = 65_536n;

/**
 * The number of addresses reserved for explicit requests in a range of `size` addresses (KEP-3070).
 */
export function staticIpBand(size: bigint): number {
	if (size < BigInt(BAND.min)) return 0;
	const wanted = size / BigInt(BAND.step);
	return Number(wanted < BAND.min ? BAND.min : wanted > BAND.max ? BAND.max : wanted);
}

/**
 * ClusterIPs of one family, without the base address and, for IPv4, without the broadcast address.
 * An IPv6 range uses only its first 2^16 addresses.
 */
export class IpRange {
	readonly cidr: string;
	readonly family: Family;
	readonly #base: bigint;
	readonly #last: bigint;
	readonly #band: BandAllocator;

	constructor(cidr: string, random: () => number = Math.random) {
		const [address = '', prefix = ''] = cidr.split('/');
		const family = familyOf(address);
		const bits = family === 'IPv4' ? 32 : 128;
		if (!family || !/^\d+$/.test(prefix) || Number(prefix) > bits)
			throw new RangeError(`Parsing service CIDR ${cidr}: expected an address, a slash and a prefix length`);
		const size = 1n << BigInt(bits - Number(prefix));
		const network = (toNumber(address) / size) * size;
		const capped = family === 'IPv6' && size > LARGEST ? LARGEST : size;
		const usable = capped - (family === 'IPv4' ? 2n : 1n);
		this.cidr = `${toText(network, family)}/${prefix}`;
		this.family = family;
		this.#base = network + 1n;
		this.#last = network + size - 1n;
		this.#band = new BandAllocator(Math.max(0, Number(usable)), staticIpBand(size), random);
	}

	get free(): number {
		return this.#band.free;
	}

	contains(address: string): boolean {
		if (familyOf(address) !== this.family) return false;
		const value = toNumber(address);
		return value >= this.#base - 1n && value <= this.#last;
	}

	/** Whether the range may allocate the address, free or not. */
	usable(address: string): boolean {
		return this.#offset(address) !== undefined;
	}

	has(address: string): boolean {
		const offset = this.#offset(address);
		return offset !== undefined && this.#band.has(offset);
	}

	/** @throws AllocationError if the address is allocated or outside the usable range. */
	take(address: string, holder = ''): void {
		const offset = this.#offset(address);
		if (offset === undefined)
			throw new AllocationError(
				'out-of-range',
				`the provided IP (${address}) is not in the valid range. The range of valid IPs is ${this.cidr}`,
			);
		if (!this.#band.take(offset, holder))
			throw new AllocationError('allocated', 'provided IP is already allocated');
	}

	/** @throws AllocationError if the range is full. */
	next(holder = ''): string {
		const offset = this.#band.next(holder);
		if (offset === undefined) throw new AllocationError('full', 'range is full');
		return toText(this.#base + BigInt(offset), this.family);
	}

	/** The address at an offset of the usable range, allocated or free. */
	at(offset: number): string {
		return toText(this.#base + BigInt(offset), this.family);
	}

	/** Frees the address if `holder` holds it. */
	release(address: string, holder = ''): void {
		const offset = this.#offset(address);
		if (offset !== undefined) this.#band.release(offset, holder);
	}

	#offset(address: string): number | undefined {
		if (familyOf(address) !== this.family) return undefined;
		const offset = toNumber(address) - this.#base;
		return offset >= 0n && offset < BigInt(this.#band.size) ? Number(offset) : undefined;
	}
}
