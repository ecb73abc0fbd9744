/**
 * Conversions of addresses between text and bytes, and the Internet checksum, for building and
 * checking frames.
 */

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
	const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

export function fromHex(hex: string): Uint8Array {
	return Uint8Array.from(Buffer.from(hex.replace(/[\s:]/g, ''), 'hex'));
}

export function toHex(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString('hex');
}

/** Six bytes of `02:00:00:00:00:01`. */
export function mac(text: string): Uint8Array {
	const bytes = fromHex(text);
	if (bytes.length !== 6) throw new TypeError(`Not a MAC address: ${text}`);
	return bytes;
}

export function macText(bytes: Uint8Array): string {
	return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Four bytes. */
export function ipv4Bytes(text: string): Uint8Array {
	const parts = text.split('.').map(Number);
	if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255)))
		throw new TypeError(`Not an IPv4 address: ${text}`);
	return Uint8Array.from(parts);
}

/** Sixteen bytes. Accepts `::`, and an embedded dotted quad as the last part. */
export function ipv6Bytes(text: string): Uint8Array {
	const quad = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
	if (quad) {
		const [a, b, c, d] = ipv4Bytes(quad[2]!) as unknown as [number, number, number, number];
		return ipv6Bytes(`${quad[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
	}
	const [head, tail, more] = text.split('::');
	const groups = (side: string | undefined) =>
		side ? side.split(':').map((group) => parseInt(group, 16)) : [];
	const before = groups(head);
	const after = groups(tail);
	const missing = 8 - before.length - after.length;
	const all = tail === undefined ? before : [...before, ...new Array<number>(missing).fill(0), ...after];
	if (more !== undefined || all.length !== 8 || all.some((group) => !(group >= 0 && group <= 0xffff)))
		throw new TypeError(`Not an IPv6 address: ${text}`);
	return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 0xff]));
}

export const isIpv6 = (text: string): boolean => text.includes(':');

/** 4 or 16 bytes, by family. */
export function ipBytes(text: string): Uint8Array {
	return isIpv6(text) ? ipv6Bytes(text) : ipv4Bytes(text);
}

/** Dotted quad for 4 bytes, RFC 5952 form for 16 bytes. */
export function ipText(bytes: Uint8Array): string {
	if (bytes.length === 4) return bytes.join('.');
	const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
	let best = { at: -1, length: 1 };
	for (let at = 0; at < 8; at++) {
		let length = 0;
		while (at + length < 8 && groups[at + length] === 0) length++;
		if (length > best.length) best = { at, length };
	}
	const text = (part: number[]) => part.map((group) => group.toString(16)).join(':');
	if (best.at < 0) return text(groups);
	return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`;
}

/** The one's complement sum of RFC 1071 over several parts as if concatenated, not complemented. */
export function onesSum(...parts: readonly Uint8Array[]): number {
	const bytes = concat(...parts);
	let sum = 0;
	for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
	while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
	return sum;
}

/** The value of a checksum field that was zero during summing. */
export function checksum(...parts: readonly Uint8Array[]): number {
	return ~onesSum(...parts) & 0xffff;
}

/** Pseudo-header of TCP, UDP and ICMPv6 (RFC 9293, RFC 768, RFC 8200 section 8.1). */
export function pseudoHeader(src: Uint8Array, dst: Uint8Array, proto: number, length: number): Uint8Array {
	const tail =
		src.length === 4
			? [0, proto, length >> 8, length & 0xff]
			: [0, 0, length >> 8, length & 0xff, 0, 0, 0, proto];
	return concat(src, dst, Uint8Array.from(tail));
}
