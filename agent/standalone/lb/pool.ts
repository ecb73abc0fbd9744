/** Addresses for Services of type LoadBalancer. Who has which is not kept here: the Services say it. */
import { canonicalIp, type Family, familyOf, toNumber, toText } from '../alloc/ip-range.ts';

interface Range {
	readonly family: Family;
	readonly first: bigint;
	/** Included. */
	readonly last: bigint;
}

export class AddressPool {
	/** As it was written. */
	readonly text: string;
	readonly #ranges: readonly Range[];

	/**
	 * Reads `192.168.10.200-192.168.10.250,fd00:10::200-fd00:10::2ff`: ranges, single addresses and CIDRs.
	 * @throws RangeError naming the part that is wrong.
	 */
	constructor(text: string) {
		this.text = text;
		this.#ranges = text.split(',').map((part) => parseRange(part.trim()));
	}

	has(family: Family): boolean {
		return this.#ranges.some((range) => range.family === family);
	}

	contains(address: string): boolean {
		const family = familyOf(address);
		if (!family) return false;
		const value = toNumber(address);
		return this.#ranges.some(
			(range) => range.family === family && value >= range.first && value <= range.last,
		);
	}

	/** The lowest address that is free, or undefined when none is. */
	next(family: Family, free: (address: string) => boolean): string | undefined {
		for (const range of this.#ranges) {
			if (range.family !== family) continue;
			for (let value = range.first; value <= range.last; value++) {
				const address = toText(value, family);
				if (free(address)) return address;
			}
		}
		return undefined;
	}

	/** The first address outside of the CIDR, if there is one. */
	outside(cidr: string): string | undefined {
		const whole = parseRange(cidr);
		for (const { family, first, last } of this.#ranges) {
			if (family !== whole.family) continue;
			if (first < whole.first) return toText(first, family);
			if (last > whole.last) return toText(last, family);
		}
		return undefined;
	}
}

/** Enough for every use, and few enough to look through when it is nearly full. */
const LARGEST = 65_536n;

function parseRange(text: string): Range {
	const range = text.includes('/') ? parseCidr(text) : parseEnds(text.split('-').map((end) => end.trim()));
	if (!range)
		throw new RangeError(
			`Cannot use the addresses ${JSON.stringify(text)}: expected a range like 192.168.10.200-192.168.10.250, an address or a CIDR`,
		);
	if (range.last < range.first)
		throw new RangeError(`Cannot use the addresses ${text}: the last lies before the first`);
	return range;
}

function parseEnds([from = '', to = from, ...more]: readonly string[]): Range | undefined {
	const family = familyOf(from);
	if (!family || familyOf(to) !== family || more.length > 0) return undefined;
	const [first, last] = [toNumber(from), toNumber(to)];
	if (last - first >= LARGEST)
		throw new RangeError(`Cannot use the addresses ${from}-${to}: more than ${LARGEST} in one range`);
	return { family, first, last };
}

function parseCidr(text: string): Range | undefined {
	const [address = '', length = '', ...more] = text.split('/');
	const family = familyOf(address);
	const width = family === 'IPv4' ? 32 : 128;
	if (!family || !/^\d{1,3}$/.test(length) || Number(length) > width || more.length > 0) return undefined;
	const size = 1n << BigInt(width - Number(length));
	const first = (toNumber(address) / size) * size;
	return { family, first, last: first + size - 1n };
}

/** @returns undefined for what is no address. */
export function readAddress(text: string): string | undefined {
	return familyOf(text) ? canonicalIp(text) : undefined;
}
