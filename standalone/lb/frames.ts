/** Ethernet frames that announce the new location of an address. */
import { toNumber } from '../alloc/ip-range.ts';

/** 6 bytes. */
export type Mac = Uint8Array;

const ETHERTYPE_ARP = [0x08, 0x06];
const ETHERTYPE_IPV6 = [0x86, 0xdd];
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
/** The MAC of ff02::1, all nodes (RFC 2464 section 7). */
const ALL_NODES_MAC = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES = [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ICMPV6 = 58;

/** @throws RangeError unless the text is like 02:42:ac:11:00:02. */
export function parseMac(text: string): Mac {
	if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)) throw new RangeError(`Cannot read the MAC ${text}`);
	return Uint8Array.from(text.split(':').map((byte) => Number.parseInt(byte, 16)));
}

/**
 * Builds a gratuitous ARP request for an IPv4 address, an unsolicited neighbour advertisement for
 * IPv6.
 */
export function announcement(address: string, mac: Mac): Uint8Array {
	return address.includes(':') ? neighbourAdvertisement(address, mac) : gratuitousArp(address, mac);
}

/** RFC 5227 section 3: sender and target are the announced address. */
function gratuitousArp(address: string, mac: Mac): Uint8Array {
	const ip = bytesOf(address, 4);
	const ethernet = [...BROADCAST, ...mac, ...ETHERTYPE_ARP];
	// Ethernet, IPv4, lengths 6 and 4, request
	const arp = [0, 1, 0x08, 0x00, 6, 4, 0, 1, ...mac, ...ip, 0, 0, 0, 0, 0, 0, ...ip];
	return Uint8Array.from([...ethernet, ...arp]);
}

/**
 * RFC 4861 section 7.2.6: sent to all nodes, with the override flag and the target's link-layer
 * address.
 */
function neighbourAdvertisement(address: string, mac: Mac): Uint8Array {
	const ip = bytesOf(address, 16);
	const override = 0x20;
	const icmp = Uint8Array.from([136, 0, 0, 0, override, 0, 0, 0, ...ip, 2, 1, ...mac]);
	const sum = checksum([...ip, ...ALL_NODES, 0, 0, 0, icmp.length, 0, 0, 0, ICMPV6, ...icmp]);
	icmp.set([sum >> 8, sum & 0xff], 2);
	// version 6; hop limit 255 proves that no router forwarded it
	const ipv6 = [0x60, 0, 0, 0, 0, icmp.length, ICMPV6, 255, ...ip, ...ALL_NODES];
	return Uint8Array.from([...ALL_NODES_MAC, ...mac, ...ETHERTYPE_IPV6, ...ipv6, ...icmp]);
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(bytes: readonly number[]): number {
	let sum = 0;
	for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/** The address in network byte order. */
function bytesOf(address: string, length: 4 | 16): number[] {
	const value = toNumber(address);
	return Array.from({ length }, (_, at) => Number((value >> BigInt((length - 1 - at) * 8)) & 0xffn));
}
