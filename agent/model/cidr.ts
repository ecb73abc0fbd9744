import { type Ip, ipOfBytes, parseIp, parseStoredIp, unusable } from './ip.ts';

/** A range of addresses of one family. */
export interface Cidr {
	readonly ip: Ip;
	/** Length of the prefix, of 32 or 128 bits. */
	readonly bits: number;
}

/** Reads `10.0.0.0/8`. Any address of the range may denote it. @returns undefined for other text */
export function parseCidr(text: string): Cidr | undefined {
	return read(text, parseIp);
}

/** Reads a range of a stored object, with spaces around it or zeros as in parseStoredIp(). */
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

/** First address and mask of a range, 16 bytes each, as in the maps. */
export function cidrBytes({ ip, bits }: Cidr): { readonly net: Uint8Array; readonly mask: Uint8Array } {
	const length = mappedBits({ ip, bits });
	const mask = Uint8Array.from(
		{ length: 16 },
		(_, i) => (0xff00 >> Math.min(Math.max(length - 8 * i, 0), 8)) & 0xff,
	);
	return { net: ip.bytes.map((byte, i) => byte & mask[i]!), mask };
}

/** Length of the prefix in 16 bytes, where an IPv4 range lies in ::ffff:0:0/96. */
export function mappedBits({ ip, bits }: Cidr): number {
	return bits + (ip.family === 4 ? 96 : 0);
}

/** `10.0.0.0/8`; equal ranges have equal texts. */
export function cidrText(cidr: Cidr): string {
	return `${ipOfBytes(cidrBytes(cidr).net).text}/${cidr.bits}`;
}

/** Whether the range contains an address; false for an address of the other family. */
export function contains(cidr: Cidr, ip: Ip): boolean {
	if (cidr.ip.family !== ip.family) return false;
	const bits = mappedBits(cidr);
	const whole = bits >> 3;
	for (let i = 0; i < whole; i++) if (cidr.ip.bytes[i] !== ip.bytes[i]) return false;
	const mask = (0xff00 >> (bits & 7)) & 0xff;
	return mask === 0 || ((cidr.ip.bytes[whole]! ^ ip.bytes[whole]!) & mask) === 0;
}

/** Whether the ranges contain all addresses. A family without a range is not restricted. */
export function matchesAll(cidrs: readonly Cidr[]): boolean {
	return ([4, 6] as const).every((family) => {
		const own = cidrs.filter(({ ip }) => ip.family === family);
		return own.length === 0 || own.some(({ bits }) => bits === 0);
	});
}

/**
 * Addresses of the node in the ranges: there it serves NodePorts. A family without a range is not
 * restricted, as with kube-proxy (NewNodePortAddresses). Loopback addresses are excluded: sockets
 * have 127.0.0.1 and ::1 anyway, and packets to the others do not leave the node. Link-local
 * addresses are excluded since their meaning depends on the device.
 */
export function nodePortAddresses(cidrs: readonly Cidr[], local: readonly Ip[]): Ip[] {
	const free = ([4, 6] as const).filter((family) => cidrs.every(({ ip }) => ip.family !== family));
	return local.filter(
		(ip) =>
			unusable(ip) === undefined && (free.includes(ip.family) || cidrs.some((cidr) => contains(cidr, ip))),
	);
}
