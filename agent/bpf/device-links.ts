/**
 * Attaches and adopts programs on devices, and follows devices as they appear and disappear. Pin
 * names contain the ifindex.
 */

import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Log } from '../base/log.ts';
import type { Devices } from './devices.ts';
import { BpfError, isBpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import { adoptLink, attachXdp, type BpfLink, openPinnedLink, type XdpMode } from './link.ts';
import type { Filter, Link } from './netlink-message.ts';
import { filterName, programName, xdpProgram } from './others.ts';
import type { Program } from './program.ts';
import { attachTc, findTc, HANDLE, PRIORITY } from './tc.ts';
import type { TcDirection } from './tc-target.ts';
import { updateXdpDevices, type XdpDeviceMaps } from './xdp-devices.ts';

export interface TcPrograms {
	readonly fromNetdev: Program;
	readonly toNetdev: Program;
	readonly fromPod: Program;
	readonly toPod: Program;
}

export interface DevicePrograms extends TcPrograms {
	/** Absent when XDP is off. */
	readonly xdp?: Program;
	/**
	 * Programs for devices without a link layer, loaded on the first call; undefined when the kernel
	 * refuses them.
	 */
	l3(): TcPrograms | undefined;
}

export interface DeviceLinksOptions extends XdpDeviceMaps {
	/** Directory of the pins. */
	readonly directory: string;
	readonly programs: DevicePrograms;
	/**
	 * auto: native if the driver supports it. On a veth and on a device with VLANs (see xdpMode()) TC
	 * does all the work: XDP_TX on a veth loses packets to a peer without NAPI.
	 */
	readonly xdp: 'auto' | XdpMode | 'off';
	readonly tc: 'auto' | 'clsact';
	/** All filters on one side of a device, including those of other programs. */
	readonly filters: (ifindex: number, direction: TcDirection) => readonly Filter[];
	readonly log: Log;
}

/** One program attached to one device or cgroup. */
export interface AttachmentStatus {
	readonly program: string;
	/** Device name, or path of the cgroup. */
	readonly target: string;
	readonly mode: 'native' | 'generic' | 'tcx' | 'clsact' | 'cgroup';
	/**
	 * Programs and filters of other owners that see packets before this one; absent if it is first.
	 */
	readonly behind?: readonly string[];
}

interface Wanted {
	readonly link: Link;
	readonly program: Program;
	readonly how: { readonly direction: TcDirection } | { readonly xdp: XdpMode };
}

interface Attached extends AttachmentStatus {
	readonly ifindex: number;
	/** Whether it is still attached to its device. */
	alive(): boolean;
	/** Programs and filters of other owners that run before it. */
	others(): readonly string[];
	detach(): void;
	close(): void;
}

/**
 * Pins of device links: link_<program>_<ifindex>. bpffs allows no dots, which device names may
 * contain.
 */
export const DEVICE_PIN = /^link_(xdp|from_netdev|to_netdev|from_pod|to_pod)_\d+$/;
/** Longest time that attaching may delay other work in this process. */
const LONGEST_MS = 20;
/** Tunnels do not support native XDP. */
const TUNNELS: ReadonlySet<string> = new Set(
	'vxlan geneve gre gretap ip6gre ip6gretap ipip sit ip6tnl vti vti6 xfrm wireguard'.split(' '),
);
/** Devices that auto leaves to TC. Devices on top of another device have no native XDP either. */
const TC_ONLY: ReadonlySet<string> = new Set([
	'veth',
	'vlan',
	'macvlan',
	'ipvlan',
	'bridge',
	'dummy',
	...TUNNELS,
]);
/**
 * Moves to the first place allowed within MOVES_MS: two agents that both want it would never stop.
 */
const MOST_MOVES = 3;
const MOVES_MS = 600_000;
/** The device disappeared before the attachment. */
const VANISHED = new Set(['ENODEV', 'ENOENT', 'ENXIO']);

export class DeviceLinks {
	readonly #native: Native;
	readonly #options: DeviceLinksOptions;
	readonly #attached = new Map<string, Attached>();
	/** By pin: why attaching failed. */
	readonly #refused = new Map<string, string>();
	/** Pins of XDP programs that a driver refused. They are not retried. */
	readonly #drivers = new Set<string>();
	/** By pin: the programs that run before ours. */
	readonly #behind = new Map<string, readonly string[]>();
	/** By pin: times (performance.now()) at which our program was moved to the first place. */
	readonly #moves = new Map<string, number[]>();

	constructor(native: Native, options: DeviceLinksOptions) {
		this.#native = native;
		this.#options = options;
	}

	/**
	 * Makes the attachments match the wanted ones: attaches first, then detaches. The kernel waits
	 * for an RCU grace period (about 20 ms) in each TCX attachment, so one call does only a part.
	 * @returns `more`: call again at once; `failed`: retry later; `done`.
	 */
	apply(devices: Devices, all: readonly Link[]): 'done' | 'more' | 'failed' {
		const wanted = this.#wanted(devices, all);
		const begin = performance.now();
		let retry = false;
		for (const [pin, want] of wanted) {
			const attached = this.#attached.get(pin);
			if (attached?.alive() && !this.#mayMove(pin, attached)) continue;
			if (performance.now() - begin > LONGEST_MS) return 'more';
			if (attached?.alive()) attached.detach();
			this.#forget(pin);
			if (!this.#attach(pin, want)) retry = true;
		}
		for (const [pin, attached] of this.#attached) if (!wanted.has(pin)) this.#remove(pin, attached);
		for (const known of [this.#refused, this.#moves, this.#behind, this.#drivers])
			for (const pin of known.keys()) if (!wanted.has(pin)) known.delete(pin);
		this.#removeStale(wanted, all);
		updateXdpDevices(this.#options, [...this.#attached.values()], all);
		return retry ? 'failed' : 'done';
	}

	status(): AttachmentStatus[] {
		return [...this.#attached].map(([pin, { program, target, mode }]) => {
			const behind = this.#behind.get(pin);
			return { program, target, mode, ...(behind && { behind }) };
		});
	}

	problems(): string[] {
		const behind = [...this.#behind].map(([pin, others]) => {
			const { program, target } = this.#attached.get(pin)!;
			return `${others.join(', ')} on ${target} sees packets before ${program}, and may keep them from it`;
		});
		return [...this.#refused.values(), ...behind];
	}

	/** Closes the descriptors; the pins keep the programs attached. */
	close(): void {
		for (const attached of this.#attached.values()) attached.close();
		this.#attached.clear();
	}

	#wanted({ uplinks, pods }: Devices, all: readonly Link[]): Map<string, Wanted> {
		const { programs, xdp } = this.#options;
		const wanted = new Map<string, Wanted>();
		const add = (name: string, link: Link, program: Program, how: Wanted['how']) =>
			wanted.set(`link_${name}_${link.index}`, { link, program, how });
		for (const link of uplinks) {
			const mode = xdpMode(link, all, xdp);
			const tc = link.ethernet ? programs : programs.l3();
			if (!tc) continue;
			// TC first: it does all the work of XDP until XDP is attached
			add('from_netdev', link, tc.fromNetdev, { direction: 'ingress' });
			add('to_netdev', link, tc.toNetdev, { direction: 'egress' });
			if (mode !== 'off' && programs.xdp) add('xdp', link, programs.xdp, { xdp: mode });
		}
		for (const link of pods) {
			const tc = link.ethernet ? programs : programs.l3();
			if (!tc) continue;
			add('from_pod', link, tc.fromPod, { direction: 'ingress' });
			add('to_pod', link, tc.toPod, { direction: 'egress' });
		}
		return wanted;
	}

	/**
	 * Records the programs before ours. @returns whether to move ours to the first place. A filter
	 * keeps the place that its priority gives it, and the number of moves is limited.
	 */
	#mayMove(pin: string, attached: Attached): boolean {
		const others = attached.others();
		if (others.length === 0) {
			this.#behind.delete(pin);
			return false;
		}
		const { program, target, mode } = attached;
		if (this.#behind.get(pin)?.join() !== others.join())
			this.#options.log.warn({ program, target, others }, 'dataplane.behind-others');
		this.#behind.set(pin, others);
		const now = performance.now();
		const moves = (this.#moves.get(pin) ?? []).filter((at) => now - at < MOVES_MS);
		if (mode !== 'tcx' || moves.length >= MOST_MOVES) return false;
		this.#moves.set(pin, [...moves, now]);
		this.#behind.delete(pin);
		return true;
	}

	/** @returns false when it failed and should be retried. */
	#attach(pin: string, want: Wanted): boolean {
		// a driver's refusal is permanent; a program of another owner may be gone by now
		if ('xdp' in want.how && this.#refused.has(pin) && want.link.xdp !== 'none') return true;
		if ('xdp' in want.how && this.#drivers.has(pin)) return true;
		try {
			const path = join(this.#options.directory, pin);
			const attached =
				'xdp' in want.how
					? this.#attachXdp(path, want, want.how.xdp)
					: this.#attachTc(path, want, want.how.direction);
			this.#attached.set(pin, attached);
			this.#refused.delete(pin);
			const { program, target, mode } = attached;
			this.#options.log.debug({ program, target, mode }, 'dataplane.attached');
			return true;
		} catch (error) {
			if (!(error instanceof BpfError)) throw error;
			if (VANISHED.has(error.code)) return true;
			return this.#failed(pin, want, error);
		}
	}

	#failed(pin: string, want: Wanted, error: BpfError): boolean {
		const isXdp = 'xdp' in want.how;
		const consequence = isXdp ? 'TC does its work' : 'its traffic is not served';
		const others = this.#inTheWay(want);
		const why = others.length === 0 ? '' : `; ${others.join(', ')} of others is there and stays`;
		const problem = `${error.message} on ${want.link.name}${why}; ${consequence}`;
		if (this.#refused.get(pin) !== problem) {
			const fields = {
				program: want.program.name,
				device: want.link.name,
				code: error.code,
				reason: error.message,
			};
			this.#options.log.warn(fields, isXdp ? 'dataplane.xdp-refused' : 'dataplane.attach-failed');
		}
		this.#refused.set(pin, problem);
		if (isXdp && others.length === 0) this.#drivers.add(pin);
		return isXdp;
	}

	/** Programs or filters of other owners that block our program on the device. */
	#inTheWay({ link, how }: Wanted): readonly string[] {
		if ('xdp' in how) return [xdpProgram(this.#native, link.index) ?? []].flat();
		return this.#options.tc === 'clsact' ? this.#filtersBefore(link.index, how.direction) : [];
	}

	/** Filters of other owners that see packets before ours, or have the same priority. */
	#filtersBefore(ifindex: number, direction: TcDirection): string[] {
		const all = this.#options.filters(ifindex, direction);
		const before = all.filter(
			({ kind, handle, priority }) => priority <= PRIORITY && !(kind === 'bpf' && handle === HANDLE),
		);
		return [...new Set(before.map(filterName))];
	}

	#attachXdp(path: string, { link, program }: Wanted, mode: XdpMode): Attached {
		const adopted = adoptLink(
			this.#native,
			path,
			program,
			(state) => state.kind === 'xdp' && state.ifindex === link.index && link.xdp === mode,
			() => attachXdp(this.#native, program, link.index, mode),
		);
		return {
			program: program.name,
			target: link.name,
			mode,
			ifindex: link.index,
			alive: () => adopted.state().ifindex === link.index,
			others: () => [],
			detach: () => discard(adopted, path),
			close: () => adopted.close(),
		};
	}

	#attachTc(path: string, { link, program }: Wanted, direction: TcDirection): Attached {
		const tc = attachTc(this.#native, program, { ifindex: link.index, direction }, path, {
			mechanism: this.#options.tc,
		});
		return {
			program: program.name,
			target: link.name,
			mode: tc.mechanism,
			ifindex: link.index,
			alive: () => tc.programId() !== undefined,
			others: () =>
				tc.mechanism === 'tcx'
					? tc.ahead().map((id) => programName(this.#native, id))
					: this.#filtersBefore(link.index, direction),
			detach: () => tc.detach(),
			close: () => tc.close(),
		};
	}

	#remove(pin: string, attached: Attached): void {
		if (attached.alive()) {
			attached.detach();
			this.#options.log.debug({ program: attached.program, target: attached.target }, 'dataplane.detached');
		}
		this.#forget(pin);
	}

	#forget(pin: string): void {
		const attached = this.#attached.get(pin);
		if (!attached) return;
		attached.close();
		rmSync(join(this.#options.directory, pin), { force: true });
		this.#attached.delete(pin);
	}

	/**
	 * Removes leftovers of a previous agent: pins of devices that are gone or not selected, and
	 * filters on them.
	 */
	#removeStale(wanted: ReadonlyMap<string, Wanted>, all: readonly Link[]): void {
		const { directory } = this.#options;
		for (const pin of readdirSync(directory))
			if (DEVICE_PIN.test(pin) && !wanted.has(pin)) removePinnedLink(this.#native, join(directory, pin));
		if ([...this.#attached.values()].every(({ mode }) => mode !== 'clsact')) return;
		const served = new Set([...wanted.values()].map(({ link }) => link.index));
		for (const { index } of all) if (!served.has(index)) detachFilters(this.#native, index);
	}
}

/**
 * XDP mode of an uplink. auto excludes a device that carries VLANs: hardware may strip the tag
 * before XDP sees the frame, so that it looks untagged.
 */
export function xdpMode(
	link: Link,
	all: readonly Link[],
	wanted: DeviceLinksOptions['xdp'],
): XdpMode | 'off' {
	if (!link.ethernet) return 'off';
	// an explicit native mode applies to the devices below the tunnels
	if (wanted !== 'auto') return wanted === 'native' && TUNNELS.has(link.kind) ? 'off' : wanted;
	const carriesVlans = all.some(({ kind, parent }) => kind === 'vlan' && parent === link.index);
	return TC_ONLY.has(link.kind) || carriesVlans ? 'off' : 'native';
}

/** ifindexes of the uplinks of a previous agent, as far as pinned links show them. */
export function pinnedUplinks(native: Native, directory: string): number[] {
	return readdirSync(directory).flatMap((pin) => {
		const ifindex = Number(/^link_from_netdev_(\d+)$/.exec(pin)?.[1]);
		if (!ifindex) return [];
		using link = openPinnedLink(native, join(directory, pin));
		return link?.state().ifindex === ifindex ? [ifindex] : [];
	});
}

function discard(link: BpfLink, path: string): void {
	link.detach();
	rmSync(path, { force: true });
	link.close();
}

/**
 * Detaches a pinned link and removes its pin. If the device or cgroup is gone, only removes the
 * pin.
 */
export function removePinnedLink(native: Native, path: string): void {
	const link = openPinnedLink(native, path);
	if (!link) return;
	try {
		link.detach();
	} catch (error) {
		// already detached; remove the pin anyway
		if (!isBpfError(error)) throw error;
	}
	rmSync(path, { force: true });
	link.close();
}

/** Filters have no pin. With this path, which never exists, findTc() looks for the filter. */
const NO_PIN = '/sys/fs/bpf/none';

/**
 * Detaches our clsact filters from a device in both directions. @returns whether there were any.
 */
export function detachFilters(native: Native, ifindex: number): boolean {
	const ours = (['ingress', 'egress'] as const).flatMap(
		(direction) => findTc(native, { ifindex, direction }, NO_PIN) ?? [],
	);
	for (const filter of ours) filter.detach();
	return ours.length > 0;
}
