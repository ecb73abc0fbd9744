/** An address as in the maps. Equal addresses have equal texts, since only this file makes them. */
export interface Ip {
	readonly family: 4 | 6;
	/** RFC 5952 for IPv6, dotted decimal for IPv4. */
	readonly text: string;
	/** 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. */
	readonly bytes: Uint8Array;
}

const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/**
 * Reads an address strictly: no zone, no spaces, no leading zeros (010 may mean 8 or 10).
 * @returns undefined for other text.
 */
export function parseIp(text: string): Ip | undefined {
	if (text.includes(':')) {
		const bytes = parseV6(text);
		return bytes && { family: 6, text: formatV6(bytes), bytes };
	}
	const v4 = parseV4(text);
	return v4 && { family: 4, text, bytes: Uint8Array.from([...MAPPED, ...v4]) };
}

/**
 * Reads an address of a stored object. Old API servers accepted IPv4 addresses with leading zeros,
 * which are decimal (ParseIPSloppy of k8s.io/utils/net).
 */
export function parseStoredIp(text: string): Ip | undefined {
	return parseIp(text.includes(':') ? text : text.replace(/\b0+(?=\d)/g, ''));
}

/** Converts the 16 bytes of a map. */
export function ipOfBytes(bytes: Uint8Array): Ip {
	if (!isMapped(bytes)) return { family: 6, text: formatV6(bytes), bytes };
	return { family: 4, text: bytes.subarray(12).join('.'), bytes };
}

function isMapped(bytes: Uint8Array): boolean {
	return MAPPED.every((byte, i) => bytes[i] === byte);
}

function parseV4(text: string): number[] | undefined {
	const parts = text.split('.');
	if (parts.length !== 4) return undefined;
	const bytes: number[] = [];
	for (const part of parts) {
		if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
		bytes.push(Number(part));
	}
	return bytes;
}

function parseV6(text: string): Uint8Array | undefined {
	const halves = text.split('::');
	if (halves.length > 2) return undefined;
	const head = groups(halves[0]!, halves.length === 1);
	const tail = halves.length === 2 ? groups(halves[1]!, true) : [];
	if (!head || !tail) return undefined;
	const gap = 16 - head.length - tail.length;
	if (halves.length === 1 ? gap !== 0 : gap < 2) return undefined;
	return Uint8Array.from([...head, ...new Array<number>(gap).fill(0), ...tail]);
}

/** Bytes of colon-separated groups. @param last whether the last group may be an IPv4 address */
function groups(text: string, last: boolean): number[] | undefined {
	if (text === '') return [];
	const parts = text.split(':');
	const bytes: number[] = [];
	for (const [i, part] of parts.entries()) {
		if (last && i === parts.length - 1 && part.includes('.')) {
			const v4 = parseV4(part);
			if (!v4) return undefined;
			bytes.push(...v4);
		} else {
			if (!/^[\da-f]{1,4}$/i.test(part)) return undefined;
			const group = Number.parseInt(part, 16);
			bytes.push(group >> 8, group & 0xff);
		}
	}
	return bytes;
}

/** RFC 5952: lower case, "::" for the first longest run of 2+ zero groups, mapped IPv4 dotted. */
function formatV6(bytes: Uint8Array): string {
	if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}`;
	const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!);
	let start = 0;
	let length = 0;
	for (let i = 0; i < 8; i++) {
		let end = i;
		while (end < 8 && words[end] === 0) end++;
		if (end - i > length) [start, length] = [i, end - i];
	}
	const hex = words.map((word) => word.toString(16));
	if (length < 2) return hex.join(':');
	return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

/**
 * Reason why no Service and no endpoint may have this address, or undefined. An endpoint of
 * 127.0.0.1 or 169.254.169.254 would reach servers that only the node may reach (CVE-2021-25737).
 */
export function unusable(ip: Ip): string | undefined {
	const b = ip.bytes;
	if (ip.family === 4) {
		const [a, c] = [b[12]!, b[13]!];
		if (a === 0) return 'is unspecified';
		if (a === 127) return 'is a loopback address';
		if (a === 169 && c === 254) return 'is link-local';
		if (a >= 224 && a < 240) return 'is multicast';
		return b.subarray(12).every((byte) => byte === 255) ? 'is the broadcast address' : undefined;
	}
	if (isMapped(b)) return 'is an IPv4 address written as IPv6';
	if (b.subarray(0, 15).every((byte) => byte === 0)) {
		if (b[15] === 0) return 'is unspecified';
		if (b[15] === 1) return 'is a loopback address';
	}
	if (b[0] === 0xfe && (b[1]! & 0xc0) === 0x80) return 'is link-local';
	return b[0] === 0xff ? 'is multicast' : undefined;
}

/** Whether the address is 127.0.0.0/8 or ::1, the loopback of a network namespace. */
export function isLoopback({ family, bytes }: Ip): boolean {
	if (family === 4) return bytes[12] === 127;
	return bytes.subarray(0, 15).every((byte) => byte === 0) && bytes[15] === 1;
}

/** `10.0.0.1:80`, `[fd00::1]:80` */
export function endpointText(ip: Ip, port: number): string {
	return ip.family === 4 ? `${ip.text}:${port}` : `[${ip.text}]:${port}`;
}
