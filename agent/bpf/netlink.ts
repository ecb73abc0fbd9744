/** Reads the network state of this namespace through rtnetlink, and detects changes. */
import { check } from './call.ts';
import { BpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import {
	dumpRequest,
	errnoOf,
	type Filter,
	filterRequest,
	Group,
	type Link,
	type LinkAddress,
	type Message,
	MessageType,
	messages,
	parseAddress,
	parseFilter,
	parseLink,
	parseRoute,
	parseRule,
	type Route,
	type Rule,
	routeRequest,
} from './netlink-message.ts';

export interface Network {
	readonly links: readonly Link[];
	readonly addresses: readonly LinkAddress[];
	/** ifindexes of the devices with default routes, both families. */
	readonly defaultDevices: readonly number[];
	/** All tables, both families. */
	readonly routes: readonly Route[];
	/** Union of the fields that policy routing rules match, over both families. */
	readonly rules: Rule;
}

const AF_NETLINK = 16;
const SOCK_RAW = 3;
/** SOCK_NONBLOCK | SOCK_CLOEXEC */
const SOCK_FLAGS = 0o4000 | 0o2000000;
const NETLINK_ROUTE = 0;
const SOL_SOCKET = 1;
/** Like SO_RCVBUF, but may exceed net.core.rmem_max. */
const SO_RCVBUFFORCE = 33;
/** The kernel fills at most 32 KiB of a dump at a time. */
const BUFFER = 65_536;
/**
 * Bytes for the events of some thousand pods that start at once. On overflow, ENOBUFS triggers a
 * full read.
 */
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

/** Netlink sockets of the namespace that creates them. No call blocks. */
export class Netlink implements Disposable {
	readonly #native: Native;
	readonly #dumps: number;
	readonly #events: number;
	readonly #buffer = new Uint8Array(BUFFER);
	#sequence = 0;

	/** `eventRoom`: bytes of events that may be queued for changed(). */
	constructor(native: Native, eventRoom = EVENT_ROOM) {
		this.#native = native;
		this.#events = this.#open(Object.values(Group).reduce((all, group) => all | group, 0));
		this.#dumps = this.#open(0);
		const room = new Uint8Array(Uint32Array.of(eventRoom).buffer);
		native.call.setsockopt(this.#events, SOL_SOCKET, SO_RCVBUFFORCE, room, room.length);
	}

	/** Reads all links, addresses and routes. @throws BpfError. */
	network(): Network {
		const routes = ([4, 6] as const).flatMap((family) =>
			this.#dump(MessageType.GET_ROUTE, 'routes', parseRoute, family),
		);
		const rules = ([4, 6] as const).flatMap((family) =>
			this.#dump(MessageType.GET_RULE, 'routing rules', parseRule, family),
		);
		const defaults = routes.filter((route) => route.isDefault);
		return {
			links: this.#dump(MessageType.GET_LINK, 'network devices', parseLink),
			addresses: this.#dump(MessageType.GET_ADDRESS, 'addresses', parseAddress),
			defaultDevices: [...new Set(defaults.flatMap((route) => route.devices))],
			routes,
			rules: { mark: rules.some(({ mark }) => mark), source: rules.some(({ source }) => source) },
		};
	}

	/**
	 * Route of a packet that this machine sends. @param address 16 bytes, IPv4 as ::ffff:a.b.c.d
	 * @returns undefined when there is no route
	 */
	routeTo(address: Uint8Array): Route | undefined {
		try {
			const { bodies } = this.#ask(routeRequest(address, ++this.#sequence), 'a route');
			return bodies.map(parseRoute).find((route) => route !== undefined);
		} catch (error) {
			// unreachable, or a blackhole
			if (error instanceof BpfError) return undefined;
			throw error;
		}
	}

	/** Whether the clsact qdisc of a device has filters of any owner. @throws BpfError. */
	hasFilters(ifindex: number): boolean {
		return (['ingress', 'egress'] as const).some((side) => {
			const request = filterRequest(ifindex, side, ++this.#sequence);
			return this.#ask(request, 'filters').bodies.length > 0;
		});
	}

	/** All filters, of any owner, on one side of a device's clsact qdisc. @throws BpfError. */
	filters(ifindex: number, side: 'ingress' | 'egress'): Filter[] {
		const { bodies } = this.#ask(filterRequest(ifindex, side, ++this.#sequence), 'filters');
		return bodies.map(parseFilter).filter((filter) => filter !== undefined);
	}

	/**
	 * Drains all queued events. @returns whether a result of network() may have changed; true also
	 * when the event queue overflowed.
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

	/** Repeats a dump when the table changed meanwhile; accepts the last attempt as it is. */
	#dump<T>(type: number, what: string, parse: (body: Uint8Array) => T | undefined, family?: 4 | 6): T[] {
		for (let attempt = 1; ; attempt++) {
			const { bodies, interrupted } = this.#ask(dumpRequest(type, ++this.#sequence, family), what);
			if (interrupted && attempt < MOST_ATTEMPTS) continue;
			return bodies.map(parse).filter((entry): entry is T & {} => entry !== undefined);
		}
	}

	/** Sends one request and reads all its answers. */
	#ask(request: Uint8Array, what: string): { bodies: Uint8Array[]; interrupted: boolean } {
		const { call } = this.#native;
		const sequence = this.#sequence;
		check(call.send(this.#dumps, request, request.length, 0), 'ask for', what);
		const bodies: Uint8Array[] = [];
		let interrupted = false;
		for (;;) {
			// the kernel answers within send() and recv(), so recv() never blocks
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

/**
 * Whether an event requires a new look. Routes change with every pod, so only default and local
 * routes count: default routes select uplinks, local ones the node addresses. The next periodic
 * look finds routes of tunnels.
 */
function concerns({ type, body }: Message): boolean {
	if (EVENTS.has(type)) return true;
	if (!ROUTE_EVENTS.has(type)) return false;
	const route = parseRoute(body);
	return route !== undefined && (route.isDefault || route.isLocal);
}
