import { type Ip, ipOfBytes, parseIp, parseStoredIp, unusable } from './ip.ts';

/** A range of addresses of one family. */
export interface Cidr {
	readonly ip: Ip;
	/** Bits that all addresses of the range share with `ip`, of its 32 or 128. */
	readonly bits: number;
}

/** Reads `10.0.0.0/8`; an address within the range may stand for it. @returns undefined for everything else */
export function parseCidr(text: string): Cidr | undefined {
	return read(text, parseIp);
}

/** Reads a range of a stored object, which may have spaces around it, and leading zeros as in parseStoredIp(). */
export function parseStoredCidr(text: string): Cidr | undefined {
	return read(text.trim(), parseStoredIp);
}

function read(text: string, parse: (text: string) => Ip | undefined): Cidr | undefined {
	const [address = '', length = '', ...rest] = text.split('/');
	const ip = parse(address);
	if (!ip || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
	const bits = Number(length);
	return bits <= (ip.family === 4 ? 32 : 128) ? { ip, bits } : undefined;
}

/** The range's first address, and the bits that all of its addresses share: 16 bytes each, as maps hold them. */
export function cidrBytes({ ip, bits }: Cidr): { readonly net: Uint8Array; readonly mask: Uint8Array } {
	const length = mappedBits({ ip, bits });
	const mask = Uint8Array.from(
		{ length: 16 },
		(_, i) => (0xff00 >> Math.min(Math.max(length - 8 * i, 0), 8)) & 0xff,
	);
	return { net: ip.bytes.map((byte, i) => byte & mask[i]!), mask };
}

/** Bits of the prefix of 16 bytes, where an IPv4 range is one of ::ffff:0:0/96. */
export function mappedBits({ ip, bits }: Cidr): number {
	return bits + (ip.family === 4 ? 96 : 0);
}

/** `10.0.0.0/8`: equal for equal ranges. */
export function cidrText(cidr: Cidr): string {
	return `${ipOfBytes(cidrBytes(cidr).net).text}/${cidr.bits}`;
}

/** Whether an address is in the range: never one of the other family. */
export function contains(cidr: Cidr, ip: Ip): boolean {
	if (cidr.ip.family !== ip.family) return false;
	const bits = mappedBits(cidr);
	const whole = bits >> 3;
	for (let i = 0; i < whole; i++) if (cidr.ip.bytes[i] !== ip.bytes[i]) return false;
	const mask = (0xff00 >> (bits & 7)) & 0xff;
	return mask === 0 || ((cidr.ip.bytes[whole]! ^ ip.bytes[whole]!) & mask) === 0;
}

/** Whether the ranges leave out no address: a family without one is not restricted. */
export function matchesAll(cidrs: readonly Cidr[]): boolean {
	return ([4, 6] as const).every((family) => {
		const own = cidrs.filter(({ ip }) => ip.family === family);
		return own.length === 0 || own.some(({ bits }) => bits === 0);
	});
}

/**
 * Where NodePorts are served when ranges are given: the node's addresses in them. A family of which there is no range
 * is not restricted, as with kube-proxy (NewNodePortAddresses). Loopback addresses are no part of it: sockets have
 * 127.0.0.1 and ::1 anyway, and packets to others do not leave the node; nor are those that a device gives a meaning.
 */
export function nodePortAddresses(cidrs: readonly Cidr[], local: readonly Ip[]): Ip[] {
	const free = ([4, 6] as const).filter((family) => cidrs.every(({ ip }) => ip.family !== family));
	return local.filter(
		(ip) =>
			unusable(ip) === undefined && (free.includes(ip.family) || cidrs.some((cidr) => contains(cidr, ip))),
	);
}
