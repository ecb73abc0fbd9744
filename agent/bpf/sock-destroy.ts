/**
 * Destroys sockets of this network namespace that socket load balancing connected to removed
 * backends. A TCP socket is destroyed only if its peer does not answer: a backend that left its
 * Service may still run. A UDP socket is destroyed at once, unless a program redirects its
 * datagrams (bpf/host-socket.h).
 */
import { SILENT_RETRIES, SILENT_SYN_RETRIES, sockFrontendCodec, sockKeyCodec } from '../abi/layout.ts';
import { PROTOCOLS } from '../abi/protocol.ts';
import { check } from './call.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import { errnoOf, MessageType, messages } from './netlink-message.ts';
import type { BpfMap } from './port.ts';
import { type DiagSocket, destroyRequest, parseSocket, socketsRequest } from './sock-diag.ts';

/** Backends of one protocol and port. */
export interface BackendGroup {
	/** IPPROTO_TCP or IPPROTO_UDP. */
	readonly proto: number;
	readonly port: number;
	readonly backends: readonly {
		/** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
		readonly addr: Uint8Array;
		/** Service port that lost the backend. Ignored for TCP. */
		readonly serviceId: number;
	}[];
}

export interface Destroyed {
	readonly sockets: number;
	/** One call could not destroy all sockets: call again. */
	readonly more: boolean;
	/**
	 * Sockets left alone: TCP sockets whose peer answers, and UDP sockets whose datagrams are
	 * redirected.
	 */
	readonly left: number;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
/** SOCK_NONBLOCK | SOCK_CLOEXEC */
const SOCK_FLAGS = 0o4000 | 0o2000000;
const NETLINK_SOCK_DIAG = 4;
/** The kernel fills at most 32 KiB of a dump at a time. */
const BUFFER = 65_536;
const MOST_SOCKETS = 512;
const ENOENT = 2;
const EOPNOTSUPP = 95;
const REMEDY = 'this kernel is built without CONFIG_INET_DIAG_DESTROY';

/**
 * sock_diag acts on the namespace of its own socket, so on sockets of the host and of pods with
 * hostNetwork. Entering other namespaces requires CAP_SYS_ADMIN. A BPF iterator with
 * bpf_sock_destroy cannot reach them either: it walks the sockets of its reader's namespace
 * (bpf_iter_init_seq_net).
 */
export class SocketDestroyer implements Disposable {
	readonly #native: Native;
	readonly #sockets: BpfMap;
	readonly #buffer = new Uint8Array(BUFFER);
	readonly #moved: (address: Uint8Array) => boolean;
	#fd: number | undefined;
	#sequence = 0;

	/**
	 * @param sockets the map `sockets`; only its sockets are destroyed
	 * @param moved whether a program redirects UDP datagrams to this address
	 */
	constructor(native: Native, sockets: BpfMap, moved: (address: Uint8Array) => boolean) {
		this.#native = native;
		this.#sockets = sockets;
		this.#moved = moved;
	}

	/** Does not block. @throws BpfError, EOPNOTSUPP when the kernel does not support it */
	destroy(group: BackendGroup): Destroyed {
		const tcp = group.proto === PROTOCOLS.tcp;
		const lost = new Set(group.backends.map(({ addr, serviceId }) => `${addr} ${serviceId}`));
		const translated = this.#connected(group).filter(({ socket, key }) => {
			const value = this.#sockets.lookup(key);
			return value && (tcp || lost.has(`${socket.peer} ${sockFrontendCodec.decode(value).serviceId}`));
		});
		const ended = translated.filter(({ socket }) => (tcp ? isSilent(socket) : !this.#moved(socket.peer)));
		let sockets = 0;
		for (const { socket, key } of ended.slice(0, MOST_SOCKETS)) {
			if (this.#end(group.proto, socket)) sockets++;
			this.#sockets.delete(key);
		}
		return { sockets, more: ended.length > MOST_SOCKETS, left: translated.length - ended.length };
	}

	[Symbol.dispose](): void {
		if (this.#fd !== undefined) this.#native.call.close(this.#fd);
		this.#fd = undefined;
	}

	/** Sockets connected to a backend of the group, with their keys in the map. */
	#connected({ proto, port, backends }: BackendGroup): { socket: DiagSocket; key: Uint8Array }[] {
		const addresses = backends.map(({ addr }) => addr);
		const wanted = new Set(addresses.map((address) => address.join()));
		// an IPv6 socket may be connected to an IPv4 backend, but not vice versa
		const families = addresses.some(isIpv4) ? ([4, 6] as const) : ([6] as const);
		return families.flatMap((family) =>
			this.#dump(proto, family, port)
				.filter(({ peer, peerPort }) => peerPort === port && wanted.has(peer.join()))
				.map((socket) => {
					const { cookie, peer: addr } = socket;
					return { socket, key: sockKeyCodec.encode({ cookie, addr, port, proto }) };
				}),
		);
	}

	#dump(proto: number, family: 4 | 6, port: number): DiagSocket[] {
		const found: DiagSocket[] = [];
		const sequence = ++this.#sequence;
		const errno = this.#ask(socketsRequest(proto, family, port, sequence), sequence, (body) => {
			const socket = parseSocket(body);
			if (socket) found.push(socket);
		});
		if (errno !== 0) throw new BpfError({ operation: 'list', object: 'sockets', errno });
		return found;
	}

	/** @returns false when the socket no longer existed */
	#end(proto: number, socket: DiagSocket): boolean {
		const sequence = ++this.#sequence;
		const errno = this.#ask(destroyRequest(proto, socket, sequence), sequence, () => {});
		if (errno === 0 || errno === ENOENT) return errno === 0;
		const detail = errno === EOPNOTSUPP ? { detail: REMEDY } : {};
		throw new BpfError({ operation: 'destroy', object: 'a socket', errno, ...detail });
	}

	/** Sends a request and passes each answer to `take`. @returns the final errno */
	#ask(request: Uint8Array, sequence: number, take: (body: Uint8Array) => void): number {
		const { call } = this.#native;
		this.#fd ??= check(
			call.socket(AF_NETLINK, SOCK_RAW | SOCK_FLAGS, NETLINK_SOCK_DIAG),
			'open',
			'a netlink socket',
		);
		check(call.send(this.#fd, request, request.length, 0), 'ask for', 'sockets');
		for (;;) {
			// the kernel answers within send() and recv(), so recv() never blocks
			const length = check(
				call.recv(this.#fd, this.#buffer, this.#buffer.length, 0),
				'read',
				'the list of sockets',
			);
			for (const message of messages(this.#buffer.subarray(0, length))) {
				if (message.sequence !== sequence) continue;
				if (message.type === MessageType.DONE || message.type === MessageType.ERROR)
					return errnoOf(message.body);
				take(message.body);
			}
		}
	}
}

/** Whether the peer is silent. A SYN has no data to lose, so fewer retransmissions suffice. */
function isSilent({ connecting, retries }: DiagSocket): boolean {
	return retries >= (connecting ? SILENT_SYN_RETRIES : SILENT_RETRIES);
}

function isIpv4(address: Uint8Array): boolean {
	return address.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}
