/**
 * Creates and removes network namespaces by name (/run/netns/<name>), and opens sockets in many of
 * them from one process. setns() moves a thread. Node runs JavaScript on the main thread, so a
 * synchronous section can enter another namespace and return before other code runs. No function
 * here awaits while switched.
 *
 * Sockets stay in the namespace that they were created in, even if the thread moves (setns(2),
 * netns(7)).
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { parseIp } from '../model/ip.ts';
import { koffiDriver } from './ffi/koffi.ts';
import { SIGNATURES, SONAMES } from './ffi/signatures.ts';
import type { Driver, RawArg } from './ffi/types.ts';

const NETNS_DIRECTORY = '/run/netns';
const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096;
const MNT_DETACH = 2;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
/** SOCK_NONBLOCK | SOCK_CLOEXEC */
const SOCK_FLAGS = 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const BACKLOG = 1024;

export type Family = 4 | 6;

export function netnsPath(name: string): string {
	return `${NETNS_DIRECTORY}/${name}`;
}

export function netnsExists(name: string): boolean {
	return existsSync(netnsPath(name));
}

/**
 * libc calls, and a descriptor of the namespace to return to. Create one per process, on the main
 * thread.
 */
export class NetnsSwitcher implements Disposable {
	readonly #driver = koffiDriver();
	readonly #libc = bindLibc(this.#driver);
	readonly #home = openSync('/proc/self/ns/net', 'r');

	/**
	 * Runs `action` with the main thread in the namespace. `action` must be synchronous: it throws
	 * for a promise, since all other code of the process would run in the wrong namespace meanwhile.
	 */
	within<T>(name: string, action: () => T): T {
		const fd = openSync(netnsPath(name), 'r');
		try {
			this.#check(this.#libc.setns(fd, CLONE_NEWNET), `enter network namespace ${name}`);
			return synchronous(action());
		} finally {
			this.#goHome();
			closeSync(fd);
		}
	}

	/**
	 * Creates a named namespace like `ip netns add`; its `lo` is down. @throws when the name is
	 * taken.
	 */
	create(name: string): void {
		mkdirSync(NETNS_DIRECTORY, { recursive: true });
		const path = netnsPath(name);
		writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
		try {
			this.#check(this.#libc.unshare(CLONE_NEWNET), `create network namespace ${name}`);
			this.#check(
				this.#libc.mount('/proc/thread-self/ns/net', path, 'none', MS_BIND, null),
				`name network namespace ${name}`,
			);
		} catch (error) {
			rmSync(path, { force: true });
			throw error;
		} finally {
			this.#goHome();
		}
	}

	/**
	 * Removes the name; the namespace ends with its last process and socket. @returns whether it
	 * existed.
	 */
	remove(name: string): boolean {
		const path = netnsPath(name);
		if (!existsSync(path)) return false;
		// EINVAL: a file without a mount, left by an interrupted create
		this.#libc.umount2(path, MNT_DETACH);
		rmSync(path, { force: true });
		return true;
	}

	/**
	 * A listening TCP socket. Family 6 accepts IPv4 too, as mapped addresses. The caller owns the
	 * descriptor.
	 */
	listenTcp(name: string, port: number, options: { address?: string; family?: Family } = {}): number {
		const family = options.family ?? 6;
		return this.within(name, () => {
			const fd = this.#bound(family, SOCK_STREAM, port, options.address);
			return this.#keep(fd, () =>
				this.#check(this.#libc.listen(fd, BACKLOG), `listen on TCP port ${port} in ${name}`),
			);
		});
	}

	/**
	 * A bound UDP socket. Family 6 accepts IPv4 too, as mapped addresses. The caller owns the
	 * descriptor.
	 */
	bindUdp(name: string, port: number, options: { address?: string; family?: Family } = {}): number {
		return this.within(name, () => this.#bound(options.family ?? 6, SOCK_DGRAM, port, options.address));
	}

	/**
	 * Opens a TCP connection from inside the namespace. Errors arrive as the socket's `error` event.
	 */
	connectTcp(name: string, address: string, port: number): Socket {
		const family = address.includes(':') ? AF_INET6 : AF_INET;
		const fd = this.within(name, () =>
			this.#check(this.#libc.socket(family, SOCK_STREAM | SOCK_FLAGS, 0), `make a socket in ${name}`),
		);
		// paused: a read before the connection is established would fail with ENOTCONN
		const socket = new Socket({ fd, readable: true, writable: true, pauseOnCreate: true } as object);
		socket.once('connect', () => socket.resume());
		socket.connect(port, address);
		return socket;
	}

	/**
	 * Sends complete Ethernet frames through a device of the namespace. @param ifindex of the device
	 * there.
	 */
	sendFrames(name: string, ifindex: number, frames: readonly Uint8Array[]): void {
		const what = `send a frame in ${name}`;
		// Protocol 0: the socket receives nothing
		const fd = this.within(name, () =>
			this.#check(this.#libc.socket(AF_PACKET, SOCK_RAW | SOCK_FLAGS, 0), what),
		);
		try {
			const to = encodeLinkAddress(ifindex);
			for (const frame of frames)
				this.#check(this.#libc.sendto(fd, frame, frame.length, 0, to, to.length), what);
		} finally {
			closeSync(fd);
		}
	}

	[Symbol.dispose](): void {
		closeSync(this.#home);
	}

	#bound(family: Family, type: number, port: number, address?: string): number {
		const domain = family === 4 ? AF_INET : AF_INET6;
		const what = `bind ${type === SOCK_STREAM ? 'TCP' : 'UDP'} port ${port}`;
		const fd = this.#check(this.#libc.socket(domain, type | SOCK_FLAGS, 0), what);
		return this.#keep(fd, () => {
			const on = new Uint8Array(Int32Array.of(1).buffer);
			const off = new Uint8Array(4);
			// A UDP address in use must stay an error: two sockets would share its datagrams
			if (type === SOCK_STREAM) this.#check(this.#libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, 4), what);
			if (family === 6) this.#check(this.#libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, off, 4), what);
			const sockaddr = encodeSockaddr(family, port, address);
			this.#check(this.#libc.bind(fd, sockaddr, sockaddr.length), what);
		});
	}

	#keep(fd: number, action: () => void): number {
		try {
			action();
			return fd;
		} catch (error) {
			closeSync(fd);
			throw error;
		}
	}

	#goHome(): void {
		// All later code would run in the wrong namespace and could change the root namespace
		if (this.#libc.setns(this.#home, CLONE_NEWNET) !== 0) process.abort();
	}

	#check(result: number, operation: string): number {
		if (result >= 0) return result;
		const errno = this.#driver.errno();
		const code = getSystemErrorName(-errno);
		throw Object.assign(new Error(`Cannot ${operation}: ${code}`), { code, errno });
	}
}

function synchronous<T>(value: T): T {
	if (value instanceof Promise)
		throw new TypeError('An action inside a network namespace must be synchronous');
	return value;
}

/**
 * struct sockaddr_in or sockaddr_in6: family in host order (little endian here), port and address
 * in network order.
 */
function encodeSockaddr(family: Family, port: number, address?: string): Uint8Array {
	const bytes = new Uint8Array(family === 4 ? 16 : 28);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
	view.setUint16(2, port, false);
	if (address === undefined) return bytes;
	const ip = parseIp(address);
	if (ip?.family !== family)
		throw new RangeError(`Cannot bind to ${address}: expected an IPv${family} address`);
	bytes.set(family === 4 ? ip.bytes.subarray(12) : ip.bytes, family === 4 ? 4 : 8);
	return bytes;
}

/** struct sockaddr_ll of packet(7): only the device; the frame contains the rest. */
function encodeLinkAddress(ifindex: number): Uint8Array {
	const bytes = new Uint8Array(20);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, AF_PACKET, true);
	view.setInt32(4, ifindex, true);
	return bytes;
}

const CALLS = [
	'setns',
	'unshare',
	'mount',
	'umount2',
	'socket',
	'bind',
	'listen',
	'setsockopt',
	'sendto',
] as const;
type Call = (typeof CALLS)[number];

/** libc functions with their C results: -1 means failure, with errno in the driver. */
type Libc = Readonly<Record<Call, (...args: (RawArg | string)[]) => number>>;

/** Binds libc without libbpf: machines without BPF use namespaces too. */
function bindLibc(driver: Driver): Libc {
	const bind = (name: Call) => {
		const raw = driver.symbol(SONAMES.libc, name, SIGNATURES[name]);
		if (!raw) throw new Error(`Cannot use ${SONAMES.libc}: it lacks ${name}`);
		return (...args: (RawArg | string)[]) =>
			Number(raw(args.map((arg) => (typeof arg === 'string' ? Buffer.from(`${arg}\0`) : arg))));
	};
	return Object.fromEntries(CALLS.map((name) => [name, bind(name)])) as unknown as Libc;
}
