/** Decodes frames to descriptions and checks every checksum in them. */
import {
	ETH_IPV4,
	ETH_IPV6,
	ETH_VLAN,
	EXT_DESTINATION,
	EXT_FRAGMENT,
	EXT_HOP_BY_HOP,
	EXT_ROUTING,
	PROTO_ICMP,
	PROTO_ICMPV6,
	PROTO_TCP,
	PROTO_UDP,
	TCP_FLAGS,
} from './builder.ts';
import { checksum, ipBytes, ipText, macText, onesSum, pseudoHeader } from './bytes.ts';

export interface Ip {
	version: 4 | 6;
	src: string;
	dst: string;
	/** TTL or hop limit. */
	ttl: number;
	/** ToS or traffic class. */
	tos: number;
	/** IPv4 identification, IPv6 flow label. */
	id: number;
	/** Transport protocol, after extension headers. */
	proto: number;
	/** Length in bytes, including the header. */
	totalLength: number;
	dontFragment: boolean;
	moreFragments: boolean;
	/** Offset in bytes. */
	fragmentOffset: number;
	/** IPv4 options or IPv6 extension headers as raw bytes. */
	options: Uint8Array;
}

export interface Decoded {
	eth?: { src: string; dst: string; type: number };
	vlans: number[];
	ip?: Ip;
	tcp?: {
		sport: number;
		dport: number;
		seq: number;
		ack: number;
		flags: string;
		window: number;
		options: Uint8Array;
		checksum: number;
	};
	udp?: { sport: number; dport: number; length: number; checksum: number };
	icmp?: { type: number; code: number; rest: number; checksum: number };
	/** Bytes after the innermost decoded header, up to the IP length. */
	payload: Uint8Array;
	/** Wrong lengths and checksums. */
	faults: string[];
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @throws RangeError when a header is truncated */
export function decode(frame: Uint8Array): Decoded {
	const data = view(frame);
	const out: Decoded = {
		eth: { dst: macText(frame.slice(0, 6)), src: macText(frame.slice(6, 12)), type: 0 },
		vlans: [],
		payload: new Uint8Array(),
		faults: [],
	};
	let at = 12;
	let type = data.getUint16(at);
	while (type === ETH_VLAN || type === 0x88a8) {
		out.vlans.push(data.getUint16(at + 2) & 0xfff);
		at += 4;
		type = data.getUint16(at);
	}
	out.eth!.type = type;
	const rest = frame.subarray(at + 2);
	if (type === ETH_IPV4 || type === ETH_IPV6) decodeIpInto(out, rest);
	else out.payload = rest;
	return out;
}

/**
 * Decodes an IP packet without a link header, such as the quoted one in an ICMP error. It may be
 * truncated.
 */
export function decodeIp(bytes: Uint8Array): Decoded {
	const out: Decoded = { vlans: [], payload: new Uint8Array(), faults: [] };
	decodeIpInto(out, bytes);
	return out;
}

function decodeIpInto(out: Decoded, bytes: Uint8Array): void {
	const { ip, header } = bytes[0]! >> 4 === 4 ? ipv4Header(out, bytes) : ipv6Header(bytes);
	out.ip = ip;
	const whole = bytes.length >= ip.totalLength;
	if (!whole) out.faults.push(`IP length ${ip.totalLength} is more than the ${bytes.length} bytes there are`);
	const rest = bytes.subarray(header, ip.totalLength);
	if (ip.fragmentOffset > 0) out.payload = rest;
	else decodeTransport(out, rest, whole && !ip.moreFragments);
}

function ipv4Header(out: Decoded, bytes: Uint8Array): { ip: Ip; header: number } {
	const data = view(bytes);
	const header = (bytes[0]! & 15) * 4;
	if (onesSum(bytes.subarray(0, header)) !== 0xffff) out.faults.push('IPv4 header checksum is wrong');
	const fragment = data.getUint16(6);
	const ip: Ip = {
		version: 4,
		src: ipText(bytes.subarray(12, 16)),
		dst: ipText(bytes.subarray(16, 20)),
		ttl: bytes[8]!,
		tos: bytes[1]!,
		id: data.getUint16(4),
		proto: bytes[9]!,
		totalLength: data.getUint16(2),
		dontFragment: (fragment & 0x4000) !== 0,
		moreFragments: (fragment & 0x2000) !== 0,
		fragmentOffset: (fragment & 0x1fff) * 8,
		options: bytes.slice(20, header),
	};
	return { ip, header };
}

function ipv6Header(bytes: Uint8Array): { ip: Ip; header: number } {
	const data = view(bytes);
	let proto = data.getUint8(6);
	let header = 40;
	let fragment = 0;
	while ([EXT_HOP_BY_HOP, EXT_ROUTING, EXT_FRAGMENT, EXT_DESTINATION].includes(proto)) {
		if (proto === EXT_FRAGMENT) fragment = data.getUint16(header + 2);
		const length = proto === EXT_FRAGMENT ? 8 : (data.getUint8(header + 1) + 1) * 8;
		proto = data.getUint8(header);
		header += length;
		if ((fragment & 0xfff8) !== 0) break;
	}
	const ip: Ip = {
		version: 6,
		src: ipText(bytes.subarray(8, 24)),
		dst: ipText(bytes.subarray(24, 40)),
		ttl: bytes[7]!,
		tos: (data.getUint16(0) >> 4) & 0xff,
		id: data.getUint32(0) & 0xfffff,
		proto,
		totalLength: 40 + data.getUint16(4),
		dontFragment: true,
		moreFragments: (fragment & 1) !== 0,
		fragmentOffset: fragment & 0xfff8,
		options: bytes.slice(40, header),
	};
	return { ip, header };
}

function transportSum(ip: Ip, segment: Uint8Array): number {
	const [src, dst] = [ipBytes(ip.src), ipBytes(ip.dst)];
	return onesSum(pseudoHeader(src, dst, ip.proto, segment.length), segment);
}

function decodeTransport(out: Decoded, bytes: Uint8Array, verify: boolean): void {
	const ip = out.ip!;
	if (ip.proto === PROTO_TCP) decodeTcp(out, bytes, verify);
	else if (ip.proto === PROTO_UDP) decodeUdp(out, bytes, verify);
	else if (ip.proto === PROTO_ICMP || ip.proto === PROTO_ICMPV6) decodeIcmp(out, bytes, verify);
	else out.payload = bytes;
}

function decodeTcp(out: Decoded, bytes: Uint8Array, verify: boolean): void {
	const data = view(bytes);
	const header = verify || bytes.length >= 20 ? (data.getUint8(12) >> 4) * 4 : bytes.length;
	const full = bytes.length >= 20;
	out.tcp = {
		sport: data.getUint16(0),
		dport: data.getUint16(2),
		seq: data.getUint32(4),
		ack: full ? data.getUint32(8) : 0,
		flags: full ? [...TCP_FLAGS].filter((_, bit) => data.getUint8(13) & (1 << bit)).join('') : '',
		window: full ? data.getUint16(14) : 0,
		checksum: full ? data.getUint16(16) : 0,
		options: bytes.slice(20, header),
	};
	out.payload = bytes.slice(header);
	if (verify && transportSum(out.ip!, bytes) !== 0xffff) out.faults.push('TCP checksum is wrong');
}

function decodeUdp(out: Decoded, bytes: Uint8Array, verify: boolean): void {
	const data = view(bytes);
	out.udp = {
		sport: data.getUint16(0),
		dport: data.getUint16(2),
		length: data.getUint16(4),
		checksum: data.getUint16(6),
	};
	out.payload = bytes.slice(8);
	if (!verify) return;
	if (out.udp.length !== bytes.length)
		out.faults.push(`UDP length ${out.udp.length} is not the IP payload's ${bytes.length}`);
	if (out.udp.checksum === 0) {
		if (out.ip!.version === 6) out.faults.push('UDP checksum is 0, which IPv6 forbids');
	} else if (transportSum(out.ip!, bytes) !== 0xffff) {
		out.faults.push('UDP checksum is wrong');
	}
}

function decodeIcmp(out: Decoded, bytes: Uint8Array, verify: boolean): void {
	const data = view(bytes);
	out.icmp = {
		type: data.getUint8(0),
		code: data.getUint8(1),
		checksum: data.getUint16(2),
		rest: data.getUint32(4),
	};
	out.payload = bytes.slice(8);
	const good = out.ip!.version === 4 ? checksum(bytes) === 0 : transportSum(out.ip!, bytes) === 0xffff;
	if (verify && !good) out.faults.push('ICMP checksum is wrong');
}

/** @throws Error that names each fault, with the frame as hex */
export function verifyChecksums(frame: Uint8Array): void {
	const { faults } = decode(frame);
	if (faults.length > 0) throw new Error(`${faults.join('; ')} in ${Buffer.from(frame).toString('hex')}`);
}
