/**
 * Addresses for Services of type LoadBalancer. The pool stores no allocations; the Services' status
 * does.
 */
import { canonicalIp, type Family, familyOf, toNumber, toText } from '../alloc/ip-range.ts';

interface Range {
	readonly family: Family;
	readonly first: bigint;
	/** Inclusive. */
	readonly last: bigint;
}

export class AddressPool {
	/** The original text of the ranges. */
	readonly text: string;
	readonly #ranges: readonly Range[];

	/**
	 * Parses `192.168.10.200-192.168.10.250,fd00:10::200-fd00:10::2ff`: ranges, single addresses and
	 * CIDRs.
	 * @throws RangeError naming the malformed part.
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

	/** The lowest free address; undefined if there is none. */
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

	/** The first address outside the CIDR; undefined if there is none. */
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

/** Large enough for all uses, and small enough to search linearly when nearly full. */
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

/** @returns the canonical address; undefined if the text is no address. */
export function readAddress(text: string): string | undefined {
	return familyOf(text) ? canonicalIp(text) : undefined;
}
