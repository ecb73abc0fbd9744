/**
 * Writes the maps of the node's routes for the BPF programs: devices with their roles, and local
 * routes.
 */
import { DeviceFlag, deviceCodec, localRouteKeyCodec, RoutingFlag } from '../abi/layout.ts';
import { u32Bytes } from '../abi/u32.ts';
import { parseIp } from '../model/ip.ts';
import type { DeviceRole } from './devices.ts';
import { isBpfError } from './error.ts';
import type { Route, Rule } from './netlink-message.ts';
import type { BpfMap } from './port.ts';

const ZERO = u32Bytes(0);
const ONE = u32Bytes(1);
/** Prefix bits before an IPv4 address in 16 bytes. */
const MAPPED_BITS = 96;

type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** Keeps a map equal to the wanted entries. Writes only the differences. */
export class Mirror {
	readonly #map: BpfMap;
	/** Content of the map by hexadecimal key and value; initially read from the map. */
	#known: Map<string, string> | undefined;

	constructor(map: BpfMap) {
		this.#map = map;
	}

	/**
	 * @returns the number of entries that did not fit. @throws BpfError; the next call reads the map
	 * again.
	 */
	write(entries: readonly Entry[]): number {
		const known =
			this.#known ?? new Map([...this.#map.entries()].map(([key, value]) => [hex(key), hex(value)]));
		this.#known = undefined;
		const wanted = new Map(entries.map((entry) => [hex(entry[0]), entry]));
		for (const key of [...known.keys()].filter((one) => !wanted.has(one))) {
			this.#map.delete(new Uint8Array(Buffer.from(key, 'hex')));
			known.delete(key);
		}
		let refused = 0;
		for (const [text, [key, value]] of wanted) {
			if (known.get(text) === hex(value)) continue;
			if (!this.#put(key, value)) refused++;
			else known.set(text, hex(value));
		}
		this.#known = known;
		return refused;
	}

	#put(key: Uint8Array, value: Uint8Array): boolean {
		try {
			this.#map.update(key, value);
			return true;
		} catch (error) {
			if (isBpfError(error) && (error.code === 'E2BIG' || error.code === 'ENOSPC')) return false;
			throw error;
		}
	}
}

/** The maps that follow the network. */
export class RouteMaps {
	readonly #devices: Mirror;
	readonly #routes: Mirror;
	readonly #routing: Mirror;
	#refused = 0;

	/** @param object the object that has the maps */
	constructor(object: { map(name: string): BpfMap }) {
		this.#devices = new Mirror(object.map('devices'));
		this.#routes = new Mirror(object.map('local_routes'));
		this.#routing = new Mirror(object.map('routing'));
	}

	/** @throws BpfError; the next call reads the maps again. */
	write(roles: readonly DeviceRole[], routes: readonly Route[], rules: Pick<Rule, 'source'>): void {
		const devices = this.#devices.write(deviceEntries(roles));
		this.#routing.write([[ZERO, u32Bytes(rules.source ? RoutingFlag.SOURCE : 0)]]);
		this.#refused = devices + this.#routes.write(localRouteEntries(routes));
	}

	problems(): string[] {
		if (this.#refused === 0) return [];
		return [
			`${this.#refused} devices or local routes found no room in maps: endpoints behind them may be taken for remote`,
		];
	}
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

export function deviceEntries(roles: readonly DeviceRole[]): Entry[] {
	return roles.map(({ index, uplink, inner, served, sources }) => [
		u32Bytes(index),
		deviceCodec.encode({
			flags:
				(uplink ? DeviceFlag.UPLINK : 0) | (inner ? DeviceFlag.INNER : 0) | (served ? DeviceFlag.SERVED : 0),
			snatV4: parseIp(sources[4] ?? '::')!.bytes,
			snatV6: parseIp(sources[6] ?? '::')!.bytes,
		}),
	]);
}

/**
 * Routes of type local, of all tables and devices. The kernel delivers matching packets locally.
 */
export function localRouteEntries(routes: readonly Route[]): Entry[] {
	const local = routes.filter(({ isLocal }) => isLocal);
	return local.map(({ family, destination, prefix }) => {
		const addr = new Uint8Array(16);
		if (family === 4) addr.fill(0xff, 10, 12);
		addr.set(destination, 16 - destination.length);
		return [localRouteKeyCodec.encode({ prefixLen: prefix + (family === 4 ? MAPPED_BITS : 0), addr }), ONE];
	});
}
