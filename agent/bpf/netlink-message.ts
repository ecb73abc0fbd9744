/**
 * Encodes and decodes rtnetlink messages (rtnetlink(7), <linux/rtnetlink.h>). Pure, without a
 * socket. Integers are in host byte order, which is little endian on all supported machines.
 * Addresses are in network byte order.
 */
import { ipOfBytes } from '../model/ip.ts';

export const MessageType = {
	ERROR: 2,
	DONE: 3,
	OVERRUN: 4,
	NEW_LINK: 16,
	DELETE_LINK: 17,
	GET_LINK: 18,
	NEW_ADDRESS: 20,
	DELETE_ADDRESS: 21,
	GET_ADDRESS: 22,
	NEW_ROUTE: 24,
	DELETE_ROUTE: 25,
	GET_ROUTE: 26,
	GET_RULE: 34,
	GET_FILTER: 46,
} as const;

/** rtnetlink groups (RTMGRP_*), as bits of the socket's bind address. */
export const Group = {
	LINK: 0x1,
	IPV4_ADDRESS: 0x10,
	IPV4_ROUTE: 0x40,
	IPV6_ADDRESS: 0x100,
	IPV6_ROUTE: 0x400,
} as const;

const HEADER = 16;
const REQUEST_ACK = 0x5;
const REQUEST_DUMP = 0x301;
const FLAG_DUMP_INTERRUPTED = 0x10;
const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const ARPHRD_ETHER = 1;
/** ARPHRD_* of PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE. */
const ARPHRD_LAYER3: ReadonlySet<number> = new Set([512, 519, 768, 769, 776, 778, 823, 0xfffe]);
const RT_TABLE_MAIN = 254;
const RTN_UNICAST = 1;
const RTN_LOCAL = 2;
/** The kernel made the route for an address: its destinations are on-link. */
const RTPROT_KERNEL = 2;
const ATTRIBUTE_MASK = 0x3fff;

export interface Message {
	readonly type: number;
	/** Sequence number of the request that it answers; 0 for an event. */
	readonly sequence: number;
	/** The table changed during the dump: repeat the request. */
	readonly interrupted: boolean;
	readonly body: Uint8Array;
}

export interface Link {
	readonly index: number;
	readonly name: string;
	/** IFLA_INFO_KIND: veth, bridge, vxlan, ...; empty for hardware and for lo. */
	readonly kind: string;
	readonly up: boolean;
	readonly loopback: boolean;
	/** Frames begin with an Ethernet header. */
	readonly ethernet: boolean;
	/** Packets begin with the IP header: tun, WireGuard, tunnels. */
	readonly layer3?: true;
	/** Bytes of the largest packet, without the Ethernet header. */
	readonly mtu: number;
	/** aa:bb:cc:dd:ee:ff; empty for a device without a link-layer address. */
	readonly mac: string;
	/** ifindex of the bridge or bond that it is a port of, or 0. */
	readonly master: number;
	/** For a VLAN: ifindex of the parent device, which carries the tagged frames. */
	readonly parent?: number;
	/** The other end of the veth (or the lower device) is in another network namespace. */
	readonly peerElsewhere: boolean;
	/** How an XDP program of any owner is attached. */
	readonly xdp: 'none' | 'native' | 'generic' | 'other';
}

export interface LinkAddress {
	/** ifindex. */
	readonly index: number;
	readonly family: 4 | 6;
	/** In the format of model/ip.ts. */
	readonly address: string;
	readonly prefix: number;
	/** enum rt_scope_t: 0 global, 253 link, 254 host. */
	readonly scope: number;
}

export interface Route {
	readonly family: 4 | 6;
	/** Matches every destination, in the main table. */
	readonly isDefault: boolean;
	/** ifindexes of the outgoing devices; several for ECMP. */
	readonly devices: readonly number[];
	/** The kernel delivers its packets locally, whatever the table. */
	readonly isLocal: boolean;
	/** A user or a daemon added it, and it leads to other hosts: not the prefix route of a device. */
	readonly isForeign: boolean;
	/** In network byte order, 4 or 16 bytes. */
	readonly destination: Uint8Array;
	/** Prefix length of the destination. */
	readonly prefix: number;
	/** Preferred source address, in the format of model/ip.ts. */
	readonly source: string | undefined;
	/** The route has a gateway, so the neighbour on the link is the gateway. */
	readonly gateway: boolean;
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const aligned = (length: number) => (length + 3) & ~3;

/** Body sizes of dump requests in bytes, where not 8. */
const BODY_SIZES: Readonly<Record<number, number>> = {
	[MessageType.GET_LINK]: 16,
	[MessageType.GET_ROUTE]: 12,
	[MessageType.GET_RULE]: 12,
};

/** Requests a dump of all objects of a kind; `family` is 4 or 6 where the kind has families. */
export function dumpRequest(type: number, sequence: number, family?: 4 | 6): Uint8Array {
	const bodySize = BODY_SIZES[type] ?? 8;
	const bytes = new Uint8Array(HEADER + bodySize);
	const header = view(bytes);
	header.setUint32(0, bytes.length, true);
	header.setUint16(4, type, true);
	header.setUint16(6, REQUEST_DUMP, true);
	header.setUint32(8, sequence, true);
	bytes[HEADER] = family === 4 ? AF_INET : family === 6 ? AF_INET6 : 0;
	return bytes;
}

/** Handles of the two sides of a clsact qdisc. */
const CLSACT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;

/** Requests the filters of one side of a device's clsact qdisc. */
export function filterRequest(ifindex: number, side: keyof typeof CLSACT, sequence: number): Uint8Array {
	// struct tcmsg: family, ifindex, handle, parent, info
	const bytes = new Uint8Array(HEADER + 20);
	const header = view(bytes);
	header.setUint32(0, bytes.length, true);
	header.setUint16(4, MessageType.GET_FILTER, true);
	header.setUint16(6, REQUEST_DUMP, true);
	header.setUint32(8, sequence, true);
	header.setInt32(HEADER + 4, ifindex, true);
	header.setUint32(HEADER + 12, CLSACT[side], true);
	return bytes;
}

/** A filter in a clsact qdisc. */
export interface Filter {
	/** bpf, flower, u32, ... */
	readonly kind: string;
	readonly priority: number;
	readonly handle: number;
	/** For a bpf filter: the name that its owner set; else empty. */
	readonly name: string;
}

const Tca = { KIND: 1, OPTIONS: 2 } as const;
const TCA_BPF_NAME = 7;

/**
 * Parses struct tcmsg and its attributes.
 * @returns undefined for a truncated message, or one that describes a whole priority.
 */
export function parseFilter(body: Uint8Array): Filter | undefined {
	if (body.length < 20) return undefined;
	const head = view(body);
	const found = attributes(body.subarray(20));
	const handle = head.getUint32(8, true);
	const options = found.get(Tca.OPTIONS);
	const kind = text(found.get(Tca.KIND));
	if (handle === 0 && !options) return undefined;
	const name = kind === 'bpf' && options ? text(attributes(options).get(TCA_BPF_NAME)) : '';
	return { kind, priority: head.getUint32(16, true) >>> 16, handle, name };
}

/** Iterates over the messages of a datagram. Stops at a truncated tail. */
export function* messages(datagram: Uint8Array): Generator<Message> {
	const all = view(datagram);
	let at = 0;
	while (at + HEADER <= datagram.length) {
		const length = all.getUint32(at, true);
		if (length < HEADER || at + length > datagram.length) return;
		yield {
			type: all.getUint16(at + 4, true),
			sequence: all.getUint32(at + 8, true),
			interrupted: (all.getUint16(at + 6, true) & FLAG_DUMP_INTERRUPTED) !== 0,
			body: datagram.subarray(at + HEADER, at + length),
		};
		at += aligned(length);
	}
}

/** Positive errno of an ERROR message, or of the DONE that ends a dump; 0 means success. */
export function errnoOf(body: Uint8Array): number {
	return body.length >= 4 ? 0 - view(body).getInt32(0, true) : 0;
}

/** Attributes by type. To read nested attributes, call it with the value. */
export function attributes(bytes: Uint8Array): Map<number, Uint8Array> {
	const found = new Map<number, Uint8Array>();
	const all = view(bytes);
	let at = 0;
	while (at + 4 <= bytes.length) {
		const length = all.getUint16(at, true);
		if (length < 4 || at + length > bytes.length) break;
		found.set(all.getUint16(at + 2, true) & ATTRIBUTE_MASK, bytes.subarray(at + 4, at + length));
		at += aligned(length);
	}
	return found;
}

const Ifla = { ADDRESS: 1, NAME: 3, MTU: 4, LINK: 5, MASTER: 10, INFO: 18, NETNS_ID: 37, XDP: 43 } as const;
const INFO_KIND = 1;
const XDP_ATTACHED = 2;
/** XDP_ATTACHED_* of <linux/if_link.h>. */
const XDP_MODES = ['none', 'native', 'generic'] as const;

const text = (bytes?: Uint8Array) => (bytes ? new TextDecoder().decode(bytes).replace(/\0.*$/s, '') : '');
const number = (bytes?: Uint8Array) => (bytes && bytes.length >= 4 ? view(bytes).getUint32(0, true) : 0);

/** Parses struct ifinfomsg and its attributes. @returns undefined for a truncated message. */
export function parseLink(body: Uint8Array): Link | undefined {
	if (body.length < 16) return undefined;
	const head = view(body);
	const flags = head.getUint32(8, true);
	const found = attributes(body.subarray(16));
	const info = found.get(Ifla.INFO);
	const mac = found.get(Ifla.ADDRESS) ?? new Uint8Array();
	const xdp = found.get(Ifla.XDP);
	const type = head.getUint16(2, true);
	const kind = info ? text(attributes(info).get(INFO_KIND)) : '';
	return {
		index: head.getInt32(4, true),
		name: text(found.get(Ifla.NAME)),
		kind,
		...(kind === 'vlan' && { parent: number(found.get(Ifla.LINK)) }),
		up: (flags & IFF_UP) !== 0,
		loopback: (flags & IFF_LOOPBACK) !== 0,
		ethernet: type === ARPHRD_ETHER,
		...(ARPHRD_LAYER3.has(type) && { layer3: true as const }),
		mtu: number(found.get(Ifla.MTU)),
		mac: Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':'),
		master: number(found.get(Ifla.MASTER)),
		peerElsewhere: found.has(Ifla.NETNS_ID),
		xdp: XDP_MODES[xdp ? (attributes(xdp).get(XDP_ATTACHED)?.[0] ?? 0) : 0] ?? 'other',
	};
}

const Ifa = { ADDRESS: 1, LOCAL: 2 } as const;

function familyOf(value: number | undefined): 4 | 6 | undefined {
	return value === AF_INET ? 4 : value === AF_INET6 ? 6 : undefined;
}

/**
 * Parses struct ifaddrmsg. On a point-to-point device IFA_LOCAL is the local address.
 * @returns undefined for other families.
 */
export function parseAddress(body: Uint8Array): LinkAddress | undefined {
	const family = familyOf(body[0]);
	if (!family || body.length < 8) return undefined;
	const found = attributes(body.subarray(8));
	const bytes = found.get(Ifa.LOCAL) ?? found.get(Ifa.ADDRESS);
	if (bytes?.length !== (family === 4 ? 4 : 16)) return undefined;
	return {
		index: view(body).getUint32(4, true),
		family,
		address: addressText(bytes),
		prefix: body[1]!,
		scope: body[3]!,
	};
}

function addressText(bytes: Uint8Array): string {
	const mapped = Uint8Array.from([...new Array<number>(10).fill(0), 0xff, 0xff, ...bytes]);
	return ipOfBytes(bytes.length === 4 ? mapped : Uint8Array.from(bytes)).text;
}

const Rta = { DESTINATION: 1, OUT: 4, GATEWAY: 5, SOURCE: 7, MULTIPATH: 9, TABLE: 15, VIA: 18 } as const;

/** Parses struct rtmsg. @returns undefined for other families. */
export function parseRoute(body: Uint8Array): Route | undefined {
	const family = familyOf(body[0]);
	if (!family || body.length < 12) return undefined;
	const found = attributes(body.subarray(12));
	const table = found.has(Rta.TABLE) ? number(found.get(Rta.TABLE)) : body[4];
	const out = number(found.get(Rta.OUT));
	const isUnicast = body[7] === RTN_UNICAST;
	const source = found.get(Rta.SOURCE);
	return {
		family,
		isDefault: body[1] === 0 && table === RT_TABLE_MAIN && isUnicast,
		devices: out !== 0 ? [out] : nextHops(found.get(Rta.MULTIPATH)),
		isLocal: body[7] === RTN_LOCAL,
		isForeign: isUnicast && body[5] !== RTPROT_KERNEL,
		destination: found.get(Rta.DESTINATION) ?? new Uint8Array(family === 4 ? 4 : 16),
		prefix: body[1]!,
		source: source && addressText(source),
		gateway: found.has(Rta.GATEWAY) || found.has(Rta.VIA),
	};
}

/**
 * Requests the route of a packet to this address. @param address 16 bytes, IPv4 as ::ffff:a.b.c.d
 */
export function routeRequest(address: Uint8Array, sequence: number): Uint8Array {
	const v4 = address.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
	const destination = v4 ? address.subarray(12) : address;
	const bytes = new Uint8Array(HEADER + 12 + 4 + destination.length);
	const header = view(bytes);
	header.setUint32(0, bytes.length, true);
	header.setUint16(4, MessageType.GET_ROUTE, true);
	header.setUint16(6, REQUEST_ACK, true);
	header.setUint32(8, sequence, true);
	bytes[HEADER] = v4 ? AF_INET : AF_INET6;
	bytes[HEADER + 1] = destination.length * 8;
	header.setUint16(HEADER + 12, 4 + destination.length, true);
	header.setUint16(HEADER + 14, Rta.DESTINATION, true);
	bytes.set(destination, HEADER + 16);
	return bytes;
}

/** struct rtnexthop: length, flags, hops, ifindex. */
function nextHops(bytes: Uint8Array = new Uint8Array()): number[] {
	const devices: number[] = [];
	let at = 0;
	while (at + 8 <= bytes.length) {
		const length = view(bytes).getUint16(at, true);
		devices.push(view(bytes).getInt32(at + 4, true));
		if (length < 8) break;
		at += aligned(length);
	}
	return devices;
}

const Fra = { DEVICE_IN: 3, MARK: 10 } as const;

/** Packet fields, beside the destination, that a policy routing rule matches. */
export interface Rule {
	readonly mark: boolean;
	/** Source address, or input device. */
	readonly source: boolean;
}

/** Parses struct fib_rule_hdr and its attributes. @returns undefined for a truncated message */
export function parseRule(body: Uint8Array): Rule | undefined {
	if (body.length < 12) return undefined;
	const found = attributes(body.subarray(12));
	const device = text(found.get(Fra.DEVICE_IN));
	return { mark: found.has(Fra.MARK), source: body[2]! > 0 || (device !== '' && device !== 'lo') };
}
