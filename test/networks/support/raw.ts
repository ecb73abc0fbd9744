/**
 * Sends complete IP packets through the stack, which routes them to any device, with or without
 * Ethernet.
 */
import { check } from '../../../agent/bpf/call.ts';
import type { Native } from '../../../agent/bpf/ffi/library.ts';
import { parseIp } from '../../../agent/model/ip.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_RAW = 3;
/** With this protocol the packet supplies its own IP header, in both families. */
const IPPROTO_RAW = 255;

/** Encodes struct sockaddr_in or sockaddr_in6. */
export function socketAddress(address: string, port = 0): Uint8Array {
	const v6 = address.includes(':');
	const bytes = new Uint8Array(v6 ? 28 : 16);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, v6 ? AF_INET6 : AF_INET, true);
	view.setUint16(2, port, false);
	const { bytes: mapped } = parseIp(address)!;
	bytes.set(v6 ? mapped : mapped.subarray(12), v6 ? 8 : 4);
	return bytes;
}

/** Sends from the namespace of the thread. @throws Error with the refusal of the kernel */
export function sendPackets({ call }: Native, to: string, packets: readonly Uint8Array[]): void {
	const family = to.includes(':') ? AF_INET6 : AF_INET;
	const fd = check(call.socket(family, SOCK_RAW, IPPROTO_RAW), 'open', 'a raw socket');
	const address = socketAddress(to);
	try {
		for (const packet of packets)
			check(call.sendto(fd, packet, packet.length, 0, address, address.length), 'send', 'a packet');
	} finally {
		call.close(fd);
	}
}
