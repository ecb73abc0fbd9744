/** Ends sockets of this network namespace that socket load balancing has connected to backends that are gone. */
import { sockKeyCodec } from '../abi/layout.ts';
import { check } from './call.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/native.ts';
import { errnoOf, MessageType, messages } from './netlink-message.ts';
import type { BpfMap } from './port.ts';
import { type DiagSocket, destroyRequest, parseSocket, socketsRequest } from './sock-diag.ts';

/** Backends of one protocol and port. */
export interface BackendGroup {
	/** IPPROTO_TCP or IPPROTO_UDP. */
	readonly proto: number;
	readonly port: number;
	/** 16 bytes each, IPv4 as ::ffff:a.b.c.d. */
	readonly addresses: readonly Uint8Array[];
}

export interface Destroyed {
	readonly sockets: number;
	/** There were more than one call may end: call again. */
	readonly more: boolean;
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
 * sock_diag acts on the namespace in which its socket was made, so on sockets of the host and of pods with
 * hostNetwork. To enter the others takes CAP_SYS_ADMIN. A BPF iterator with bpf_sock_destroy does not reach them either:
 * it walks the sockets of its reader's namespace (bpf_iter_init_seq_net).
 */
export class SocketDestroyer implements Disposable {
	readonly #native: Native;
	readonly #sockets: BpfMap;
	readonly #buffer = new Uint8Array(BUFFER);
	#fd: number | undefined;
	#sequence = 0;

	/** @param sockets the map of that name: what is not in it is not ours to end */
	constructor(native: Native, sockets: BpfMap) {
		this.#native = native;
		this.#sockets = sockets;
	}

	/** Does not wait. @throws BpfError, EOPNOTSUPP where the kernel cannot */
	destroy(group: BackendGroup): Destroyed {
		const translated = this.#connected(group).filter(({ key }) => this.#sockets.lookup(key) !== undefined);
		let sockets = 0;
		for (const { socket, key } of translated.slice(0, MOST_SOCKETS)) {
			if (this.#end(group.proto, socket)) sockets++;
			this.#sockets.delete(key);
		}
		return { sockets, more: translated.length > MOST_SOCKETS };
	}

	[Symbol.dispose](): void {
		if (this.#fd !== undefined) this.#native.call.close(this.#fd);
		this.#fd = undefined;
	}

	/** Sockets connected to a backend of the group, with their keys in the map. */
	#connected({ proto, port, addresses }: BackendGroup): { socket: DiagSocket; key: Uint8Array }[] {
		const wanted = new Set(addresses.map((address) => address.join()));
		// a socket of IPv6 may be connected to an IPv4 backend, but not the other way round
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

	/** @returns false when it was gone already */
	#end(proto: number, socket: DiagSocket): boolean {
		const sequence = ++this.#sequence;
		const errno = this.#ask(destroyRequest(proto, socket, sequence), sequence, () => {});
		if (errno === 0 || errno === ENOENT) return errno === 0;
		const detail = errno === EOPNOTSUPP ? { detail: REMEDY } : {};
		throw new BpfError({ operation: 'destroy', object: 'a socket', errno, ...detail });
	}

	/** @returns errno that ends the answer */
	#ask(request: Uint8Array, sequence: number, take: (body: Uint8Array) => void): number {
		const { call } = this.#native;
		this.#fd ??= check(
			call.socket(AF_NETLINK, SOCK_RAW | SOCK_FLAGS, NETLINK_SOCK_DIAG),
			'open',
			'a netlink socket',
		);
		check(call.send(this.#fd, request, request.length, 0), 'ask for', 'sockets');
		for (;;) {
			// the kernel answers within send() and recv(): there is never anything to wait for
			const length = check(
				call.recv(this.#fd, this.#buffer, this.#buffer.length, 0),
				'read',
				'what sockets there are',
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

function isIpv4(address: Uint8Array): boolean {
	return address.subarray(0, 12).every((byte, i) => byte === (i < 10 ? 0 : 0xff));
}
