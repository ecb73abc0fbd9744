import { type Ip, parseIp, unusable } from './ip.ts';

/** A range of addresses of one family. */
export interface Cidr {
	readonly ip: Ip;
	/** Bits that all addresses of the range share with `ip`, of its 32 or 128. */
	readonly bits: number;
}

/** Reads `10.0.0.0/8`; an address within the range may stand for it. @returns undefined for everything else */
export function parseCidr(text: string): Cidr | undefined {
	const [address = '', length = '', ...rest] = text.split('/');
	const ip = parseIp(address);
	if (!ip || rest.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
	const bits = Number(length);
	return bits <= (ip.family === 4 ? 32 : 128) ? { ip, bits } : undefined;
}

/** Whether an address is in the range: never one of the other family. */
export function contains(cidr: Cidr, ip: Ip): boolean {
	if (cidr.ip.family !== ip.family) return false;
	const bits = cidr.bits + (ip.family === 4 ? 96 : 0);
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
