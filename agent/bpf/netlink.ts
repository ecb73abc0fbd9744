/** What network this namespace has, from the kernel by rtnetlink, and whether it changed since. */
import { check } from './call.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/native.ts';
import {
	dumpRequest,
	errnoOf,
	filterRequest,
	Group,
	type Link,
	type LinkAddress,
	type Message,
	MessageType,
	messages,
	parseAddress,
	parseLink,
	parseRoute,
} from './netlink-message.ts';

export interface Network {
	readonly links: readonly Link[];
	readonly addresses: readonly LinkAddress[];
	/** ifindexes of the devices of default routes, both families. */
	readonly defaultDevices: readonly number[];
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
/** SOCK_NONBLOCK | SOCK_CLOEXEC */
const SOCK_FLAGS = 0o4000 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
/** As SO_RCVBUF, beyond net.core.rmem_max. */
const SO_RCVBUFFORCE = 33;
/** The kernel fills at most 32 KiB of a dump at a time. */
const BUFFER = 65_536;
/** Room for the events of some thousand pods that start at once; beyond it ENOBUFS makes us look anew. */
const EVENT_ROOM = 1 << 20;
const MOST_ATTEMPTS = 5;
const EAGAIN = -11;
const ENOBUFS = -105;

const EVENTS: ReadonlySet<number> = new Set([
	MessageType.NEW_LINK,
	MessageType.DELETE_LINK,
	MessageType.NEW_ADDRESS,
	MessageType.DELETE_ADDRESS,
]);
const ROUTE_EVENTS: ReadonlySet<number> = new Set([MessageType.NEW_ROUTE, MessageType.DELETE_ROUTE]);

/** Sockets of the network namespace in which it is made; none of its calls waits. */
export class Netlink implements Disposable {
	readonly #native: Native;
	readonly #dumps: number;
	readonly #events: number;
	readonly #buffer = new Uint8Array(BUFFER);
	#sequence = 0;

	/** `eventRoom`: bytes of events that may wait for changed(). */
	constructor(native: Native, eventRoom = EVENT_ROOM) {
		this.#native = native;
		this.#events = this.#open(Object.values(Group).reduce((all, group) => all | group, 0));
		this.#dumps = this.#open(0);
		const room = new Uint8Array(Uint32Array.of(eventRoom).buffer);
		native.call.setsockopt(this.#events, SOL_SOCKET, SO_RCVBUFFORCE, room, room.length);
	}

	/** All links, addresses and default routes. @throws BpfError. */
	network(): Network {
		return {
			links: this.#dump(MessageType.GET_LINK, 'network devices', parseLink),
			addresses: this.#dump(MessageType.GET_ADDRESS, 'addresses', parseAddress),
			defaultDevices: [...this.#defaultDevices()],
		};
	}

	/** Whether a device has filters, whosever, in its clsact qdisc. @throws BpfError. */
	hasFilters(ifindex: number): boolean {
		return (['ingress', 'egress'] as const).some((side) => {
			const request = filterRequest(ifindex, side, ++this.#sequence);
			return this.#ask(request, 'filters').bodies.length > 0;
		});
	}

	/**
	 * Takes all events that wait. @returns whether something may have changed that network() shows; true as well when
	 * the kernel had no room for events.
	 */
	changed(): boolean {
		let changed = false;
		for (;;) {
			const length = this.#native.call.recv(this.#events, this.#buffer, this.#buffer.length, 0);
			if (length === EAGAIN) return changed;
			if (length === ENOBUFS) {
				changed = true;
				continue;
			}
			check(length, 'receive', 'netlink events');
			if (length === 0) return changed;
			for (const message of messages(this.#buffer.subarray(0, length))) changed ||= concerns(message);
		}
	}

	[Symbol.dispose](): void {
		this.#native.call.close(this.#dumps);
		this.#native.call.close(this.#events);
	}

	#open(groups: number): number {
		const { call } = this.#native;
		const fd = check(
			call.socket(AF_NETLINK, SOCK_RAW | SOCK_FLAGS, NETLINK_ROUTE),
			'open',
			'a netlink socket',
		);
		// struct sockaddr_nl: family, pad, port id (the kernel chooses), groups
		const address = new Uint8Array(12);
		const view = new DataView(address.buffer);
		view.setUint16(0, AF_NETLINK, true);
		view.setUint32(8, groups, true);
		const bound = call.bind(fd, address, address.length);
		if (bound < 0) call.close(fd);
		check(bound, 'bind', 'a netlink socket');
		return fd;
	}

	#defaultDevices(): Set<number> {
		const families = [4, 6] as const;
		const routes = families.flatMap((family) =>
			this.#dump(MessageType.GET_ROUTE, 'routes', parseRoute, family),
		);
		return new Set(routes.filter((route) => route.isDefault).flatMap((route) => route.devices));
	}

	/** A dump is repeated when the table changed meanwhile; the last attempt is taken as it is. */
	#dump<T>(type: number, what: string, parse: (body: Uint8Array) => T | undefined, family?: 4 | 6): T[] {
		for (let attempt = 1; ; attempt++) {
			const { bodies, interrupted } = this.#ask(dumpRequest(type, ++this.#sequence, family), what);
			if (interrupted && attempt < MOST_ATTEMPTS) continue;
			return bodies.map(parse).filter((entry): entry is T & {} => entry !== undefined);
		}
	}

	/** All that answers one request. */
	#ask(request: Uint8Array, what: string): { bodies: Uint8Array[]; interrupted: boolean } {
		const { call } = this.#native;
		const sequence = this.#sequence;
		check(call.send(this.#dumps, request, request.length, 0), 'ask for', what);
		const bodies: Uint8Array[] = [];
		let interrupted = false;
		for (;;) {
			// the kernel answers within send() and recv(): there is never anything to wait for
			const length = check(call.recv(this.#dumps, this.#buffer, this.#buffer.length, 0), 'read', what);
			for (const message of messages(this.#buffer.subarray(0, length))) {
				if (message.sequence !== sequence) continue;
				interrupted ||= message.interrupted;
				if (message.type === MessageType.DONE || message.type === MessageType.ERROR) {
					const errno = errnoOf(message.body);
					if (errno !== 0) throw new BpfError({ operation: 'read', object: what, errno });
					return { bodies, interrupted };
				}
				bodies.push(message.body.slice());
			}
		}
	}
}

/** Routes come and go with every pod; only default ones decide what an uplink is. */
function concerns({ type, body }: Message): boolean {
	if (EVENTS.has(type)) return true;
	return ROUTE_EVENTS.has(type) && parseRoute(body)?.isDefault === true;
}
