import { type Cidr, contains } from '../model/cidr.ts';
import { type Ip, ipOfBytes } from '../model/ip.ts';

interface Tree {
	readonly suffix: string;
	readonly family: 4 | 6;
	/** Labels of a whole address, each of `bits` bits. */
	readonly labels: number;
	readonly bits: number;
	readonly label: RegExp;
	readonly radix: number;
}

const TREES: readonly Tree[] = [
	{ suffix: '.in-addr.arpa', family: 4, labels: 4, bits: 8, label: /^(0|[1-9]\d{0,2})$/, radix: 10 },
	{ suffix: '.ip6.arpa', family: 6, labels: 32, bits: 4, label: /^[\da-f]$/, radix: 16 },
];

export interface ReverseName {
	/** Missing labels count as zeros. */
	readonly ip: Ip;
	/** Number of bits in the name. */
	readonly bits: number;
	/** address: one address; prefix: many addresses; other: no valid address. */
	readonly kind: 'address' | 'prefix' | 'other';
	readonly tree: Tree;
}

/** Parses the address, or the address prefix, of a name under in-addr.arpa or ip6.arpa. */
export function parseReverse(name: string): ReverseName | undefined {
	const tree = TREES.find(({ suffix }) => name.endsWith(suffix));
	if (!tree) return undefined;
	const labels = name.slice(0, -tree.suffix.length).split('.').reverse();
	const bytes = new Uint8Array(16);
	if (tree.family === 4) bytes.fill(0xff, 10, 12);
	const start = 128 - tree.labels * tree.bits;
	let read = 0;
	for (; read < Math.min(labels.length, tree.labels); read++) {
		const label = labels[read]!;
		const value = tree.label.test(label) ? Number.parseInt(label, tree.radix) : 256;
		if (value > 255) break;
		const at = start + read * tree.bits;
		bytes[at >> 3]! |= tree.bits === 4 && (at & 7) === 0 ? value << 4 : value;
	}
	const ip = ipOfBytes(bytes);
	// an IPv4 address in IPv6 form is not valid here
	if (ip.family !== tree.family) return undefined;
	const whole = read === tree.labels ? 'address' : 'prefix';
	return { ip, bits: read * tree.bits, kind: read === labels.length ? whole : 'other', tree };
}

/** Our range that contains all addresses of a name. */
export function rangeOf({ ip, bits }: ReverseName, ranges: readonly Cidr[]): Cidr | undefined {
	return ranges.find((range) => bits >= range.bits && contains(range, ip));
}

/** The zone apex of a name in a range, which has the SOA. Its labels cover all the range bits. */
export function apexOf(name: string, { tree }: ReverseName, range: Cidr): string {
	const labels = name.split('.');
	const kept = Math.ceil(range.bits / tree.bits) + 2;
	return labels.slice(Math.max(0, labels.length - kept)).join('.');
}
