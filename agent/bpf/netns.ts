/**
 * Network namespaces by name (/run/netns/<name>): make, remove, and own sockets in many of them from one
 * process. setns() moves a thread; Node's JavaScript runs on the main thread, so a synchronous section on it may
 * visit another namespace and come back before anything else runs. Nothing in here awaits while switched.
 *
 * Sockets stay in the namespace that they were made in, whatever the thread does afterwards (setns(2), netns(7)).
 */
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
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

/** The calls, and a descriptor of the namespace to come back to. Make one per process, on the main thread. */
export class NetnsSwitcher implements Disposable {
	readonly #driver = koffiDriver();
	readonly #libc = bindLibc(this.#driver);
	readonly #home = openSync('/proc/self/ns/net', 'r');

	/**
	 * Runs `action` with the main thread in the namespace. `action` must be synchronous: a promise from it is
	 * refused, for everything else in the process would run in the wrong namespace meanwhile.
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

	/** Makes and names a namespace, as `ip netns add` does; its `lo` is down. @throws when the name is taken. */
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

	/** Takes the name away; the namespace goes with its last process and socket. @returns whether it was there. */
	remove(name: string): boolean {
		const path = netnsPath(name);
		if (!existsSync(path)) return false;
		// EINVAL: a file that nothing is mounted on, left by an interrupted create
		this.#libc.umount2(path, MNT_DETACH);
		rmSync(path, { force: true });
		return true;
	}

	/** A listening TCP socket; family 6 takes IPv4 too, as mapped addresses. The caller owns the descriptor. */
	listenTcp(name: string, port: number, options: { address?: string; family?: Family } = {}): number {
		const family = options.family ?? 6;
		return this.within(name, () => {
			const fd = this.#bound(family, SOCK_STREAM, port, options.address);
			return this.#keep(fd, () =>
				this.#check(this.#libc.listen(fd, BACKLOG), `listen on TCP port ${port} in ${name}`),
			);
		});
	}

	/** A bound UDP socket; family 6 takes IPv4 too, as mapped addresses. The caller owns the descriptor. */
	bindUdp(name: string, port: number, options: { address?: string; family?: Family } = {}): number {
		return this.within(name, () => this.#bound(options.family ?? 6, SOCK_DGRAM, port, options.address));
	}

	/** A TCP connection made from inside the namespace. Errors arrive as the socket's `error` event. */
	connectTcp(name: string, address: string, port: number): Socket {
		const family = address.includes(':') ? AF_INET6 : AF_INET;
		const fd = this.within(name, () =>
			this.#check(this.#libc.socket(family, SOCK_STREAM | SOCK_FLAGS, 0), `make a socket in ${name}`),
		);
		// paused: reading before the connection is up would fail with ENOTCONN
		const socket = new Socket({ fd, readable: true, writable: true, pauseOnCreate: true } as object);
		socket.once('connect', () => socket.resume());
		socket.connect(port, address);
		return socket;
	}

	/** Sends whole Ethernet frames out by a device of the namespace. @param ifindex of the device there. */
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
		// Everything after this would run in the wrong namespace, the root one's configuration included
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

/** struct sockaddr_in or sockaddr_in6: family in host order (little endian here), port and address in network order. */
function encodeSockaddr(family: Family, port: number, address?: string): Uint8Array {
	const bytes = new Uint8Array(family === 4 ? 16 : 28);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
	view.setUint16(2, port, false);
	if (address === undefined) return bytes;
	if (family === 4) bytes.set(address.split('.').map(Number), 4);
	else if (address === '::1') bytes[23] = 1;
	else throw new RangeError(`Cannot bind to ${address}: only ::1 is supported for IPv6`);
	return bytes;
}

/** struct sockaddr_ll of packet(7): the device alone, the frame says the rest. */
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

/** A libc function as it is in C: -1 is failure, errno in the driver. */
type Libc = Readonly<Record<Call, (...args: (RawArg | string)[]) => number>>;

/** libc alone, without libbpf: namespaces are for machines without BPF too. */
function bindLibc(driver: Driver): Libc {
	const bind = (name: Call) => {
		const raw = driver.symbol(SONAMES.libc, name, SIGNATURES[name]);
		if (!raw) throw new Error(`Cannot use ${SONAMES.libc}: it lacks ${name}`);
		return (...args: (RawArg | string)[]) =>
			Number(raw(args.map((arg) => (typeof arg === 'string' ? Buffer.from(`${arg}\0`) : arg))));
	};
	return Object.fromEntries(CALLS.map((name) => [name, bind(name)])) as unknown as Libc;
}
