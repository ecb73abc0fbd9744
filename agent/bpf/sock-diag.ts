/**
 * Encodes and decodes messages of NETLINK_SOCK_DIAG (sock_diag(7), <linux/inet_diag.h>). Pure,
 * without a socket. Headers are in host byte order (little endian); socket addresses and ports in
 * network byte order.
 */
import { PROTOCOLS } from '../abi/protocol.ts';

/** `type` of a message. The kernel answers a dump with BY_FAMILY. */
export const DiagType = { BY_FAMILY: 20, DESTROY: 21 } as const;

const HEADER = 16;
const REQUEST_ACK = 0x5;
const REQUEST_DUMP = 0x301;
/** struct inet_diag_req_v2: family, protocol, extensions, pad, states, and the socket's id. */
const REQUEST_BODY = 56;
/** struct inet_diag_sockid: ports, addresses, device, cookie. */
const ID = 48;
/** struct inet_diag_msg. */
const SOCKET_BODY = 72;
const AF_INET = 2;
const AF_INET6 = 10;
const TCP_SYN_SENT = 2;
/** idiag_timer: retransmission, keepalive, zero window probe. */
const WAITING_TIMERS: ReadonlySet<number> = new Set([1, 2, 4]);

/**
 * States, as bits, in which a process may wait for its peer: established, connecting, and half
 * closed by either side. The kernel reports connected UDP sockets as established.
 */
const TCP_STATES = [1, 2, 4, 5, 8].reduce((bits, state) => bits | (1 << state), 0);
const UDP_STATES = 1 << 1;

/** A connected socket. */
export interface DiagSocket {
	/** Family of the socket, not of its peer: an IPv6 socket may have an IPv4 peer. */
	readonly family: 4 | 6;
	/** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
	readonly peer: Uint8Array;
	readonly peerPort: number;
	/** Result of bpf_get_socket_cookie(). */
	readonly cookie: bigint;
	/** TCP: its SYN has no answer yet. */
	readonly connecting: boolean;
	/** TCP: retransmissions of the unanswered segment. */
	readonly retries: number;
	/** struct inet_diag_sockid, which identifies the socket in a request. */
	readonly id: Uint8Array;
}

function request(type: number, flags: number, sequence: number, family: 4 | 6, proto: number): Uint8Array {
	const bytes = new Uint8Array(HEADER + REQUEST_BODY);
	const view = new DataView(bytes.buffer);
	view.setUint32(0, bytes.length, true);
	view.setUint16(4, type, true);
	view.setUint16(6, flags, true);
	view.setUint32(8, sequence, true);
	bytes[HEADER] = family === 4 ? AF_INET : AF_INET6;
	bytes[HEADER + 1] = proto;
	view.setUint32(HEADER + 4, proto === PROTOCOLS.tcp ? TCP_STATES : UDP_STATES, true);
	return bytes;
}

/**
 * Requests all connected sockets of a family with this peer port. The kernel does the filtering.
 */
export function socketsRequest(proto: number, family: 4 | 6, peerPort: number, sequence: number): Uint8Array {
	const bytes = request(DiagType.BY_FAMILY, REQUEST_DUMP, sequence, family, proto);
	new DataView(bytes.buffer).setUint16(HEADER + 10, peerPort, false);
	return bytes;
}

/**
 * Destroys a socket: its process gets ECONNABORTED. The cookie in the id excludes a newer socket
 * with equal addresses.
 */
export function destroyRequest(proto: number, socket: DiagSocket, sequence: number): Uint8Array {
	const bytes = request(DiagType.DESTROY, REQUEST_ACK, sequence, socket.family, proto);
	bytes.set(socket.id, HEADER + 8);
	return bytes;
}

/** Parses struct inet_diag_msg. @returns undefined for other families and truncated messages */
export function parseSocket(body: Uint8Array): DiagSocket | undefined {
	const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : undefined;
	if (!family || body.length < SOCKET_BODY) return undefined;
	const id = body.slice(4, 4 + ID);
	const view = new DataView(id.buffer);
	const peer = new Uint8Array(16);
	if (family === 6) peer.set(id.subarray(20, 36));
	else {
		peer.set([0xff, 0xff], 10);
		peer.set(id.subarray(20, 24), 12);
	}
	return {
		family,
		peer,
		peerPort: view.getUint16(2, false),
		cookie: view.getBigUint64(40, true),
		connecting: body[1] === TCP_SYN_SENT,
		retries: WAITING_TIMERS.has(body[2]!) ? body[3]! : 0,
		id,
	};
}
