/**
 * Finds the cookie of the node's network namespace, by which programs recognize the node's own
 * sockets.
 */
import { check } from './call.ts';
import type { Native } from './ffi/library.ts';
import { attachCgroup } from './link.ts';
import { Program } from './program.ts';
import {
	call,
	copy,
	exit,
	loadTiny,
	ProgramType,
	set,
	set64,
	shiftRight,
	skipUnlessEqual,
	store32,
} from './tiny-program.ts';
import { AttachType } from './uapi.ts';

const [AF_INET, SOCK_DGRAM, SOL_SOCKET] = [2, 2, 1];
const SO_COOKIE = 57;
const SO_NETNS_COOKIE = 71;
const HELPER = { SOCKET_COOKIE: 46, NETNS_COOKIE: 122 } as const;
/** Offset in struct bpf_sock_addr. */
const USER_IP4 = 4;
/** Offset in struct sockaddr_in. */
const SIN_ADDR = 4;
const SIN_BYTES = 16;

/**
 * SO_NETNS_COOKIE (5.14) of the current network namespace; 0 when the kernel does not support it.
 */
export function netnsCookie(native: Native): bigint {
	return withSocket(native, (fd) => option(native, fd, SO_NETNS_COOKIE));
}

/**
 * Finds the cookie on kernels from 5.8, which have bpf_get_netns_cookie() but not the socket
 * option. Attaches a program for a moment that returns the cookie, half by half, as the
 * getsockname() address of one socket. Other sockets are unaffected.
 *
 * @param cgroup a cgroup v2 directory above this process
 * @returns 0 when this process is not below it
 * @throws BpfError
 */
export function netnsCookieByProgram(native: Native, cgroup: string): bigint {
	return withSocket(native, (fd) => {
		const socket = option(native, fd, SO_COOKIE);
		const half = (shift: number) => BigInt(answer(native, fd, cgroup, replyTo(socket, shift)));
		return half(0) | (half(32) << 32n);
	});
}

export const NO_NETNS_COOKIE =
	"no cookie of the node's network namespace (Linux 5.14, or a cgroup v2 above the agent): " +
	'UDP of host processes and their connections to NodePorts on loopback are not served';

/**
 * Tries both ways. @param cgroups candidates that may be above this process @returns 0 when all
 * fail
 */
export function netnsCookieByAny(native: Native, cgroups: readonly string[]): bigint {
	const bySocket = netnsCookie(native);
	if (bySocket !== 0n) return bySocket;
	for (const cgroup of cgroups) {
		try {
			const cookie = netnsCookieByProgram(native, cgroup);
			if (cookie !== 0n) return cookie;
		} catch {
			// the directory is missing or takes no program: try the next one
		}
	}
	return 0n;
}

/**
 * Builds a program that writes half of the namespace cookie into the IPv4 address of one socket.
 */
function replyTo(socket: bigint, shift: number): Uint8Array[] {
	return [
		copy(6, 1),
		call(HELPER.SOCKET_COOKIE),
		set64(7, socket),
		skipUnlessEqual(0, 7, 4),
		copy(1, 6),
		call(HELPER.NETNS_COOKIE),
		shiftRight(0, shift),
		store32(6, USER_IP4, 0),
		set(0, 1),
		exit(),
	];
}

/** Calls getsockname() with the program attached, and returns the IPv4 address. */
function answer(native: Native, fd: number, cgroup: string, instructions: Uint8Array[]): number {
	const attachType = AttachType.CGROUP_INET4_GETSOCKNAME;
	const tiny = { type: ProgramType.CGROUP_SOCK_ADDR, attachType, instructions };
	const program = check(loadTiny(native, tiny), 'load', 'a program that reads the netns cookie');
	try {
		using _link = attachCgroup(native, new Program(native, program, 'netns_cookie', ''), cgroup, attachType);
		const address = new Uint8Array(SIN_BYTES);
		const length = new Uint8Array(Uint32Array.of(SIN_BYTES).buffer);
		check(native.call.getsockname(fd, address, length), 'read', "a socket's name");
		return new DataView(address.buffer).getUint32(SIN_ADDR, true);
	} finally {
		native.call.close(program);
	}
}

function withSocket<T>(native: Native, action: (fd: number) => T): T {
	const fd = check(native.call.socket(AF_INET, SOCK_DGRAM, 0), 'open', 'a socket');
	try {
		return action(fd);
	} finally {
		native.call.close(fd);
	}
}

/** @returns 0 when the kernel does not support the option */
function option(native: Native, fd: number, name: number): bigint {
	const value = new Uint8Array(8);
	const length = new Uint8Array(Uint32Array.of(8).buffer);
	const result = native.call.getsockopt(fd, SOL_SOCKET, name, value, length);
	return result < 0 ? 0n : new DataView(value.buffer).getBigUint64(0, true);
}
