/** Programs on devices: attached, adopted, followed as devices come and go. Pins are named by ifindex. */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Devices } from './devices.ts';
import { BpfError, isBpfError } from './error.ts';
import type { LogSink } from './ffi/log.ts';
import type { Native } from './ffi/native.ts';
import { adoptLink, attachXdp, type BpfLink, openPinnedLink, type XdpMode } from './link.ts';
import type { Link } from './netlink-message.ts';
import type { BpfMap } from './port.ts';
import type { Program } from './program.ts';
import { attachTc, findTc, type TcDirection } from './tc.ts';

export interface DevicePrograms {
	/** Absent: XDP is off. */
	readonly xdp?: Program;
	readonly fromNetdev: Program;
	readonly toNetdev: Program;
	readonly fromPod: Program;
	readonly toPod: Program;
}

export interface DeviceLinksOptions {
	/** Directory of the pins. */
	readonly directory: string;
	readonly programs: DevicePrograms;
	/** auto: native where the driver has it; on a veth TC does all: XDP_TX loses packets to a peer without NAPI. */
	readonly xdp: 'auto' | XdpMode | 'off';
	readonly tc: 'auto' | 'clsact';
	/** ifindex -> 1: devices that XDP may redirect to. */
	readonly xdpDevices: BpfMap;
	readonly log: LogSink;
}

/** One program on one device, or on a cgroup. */
export interface AttachmentStatus {
	readonly program: string;
	/** Device name, or path of the cgroup. */
	readonly target: string;
	readonly mode: 'native' | 'generic' | 'tcx' | 'clsact' | 'cgroup';
}

interface Wanted {
	readonly link: Link;
	readonly program: Program;
	readonly how: { readonly direction: TcDirection } | { readonly xdp: XdpMode };
}

interface Attached extends AttachmentStatus {
	readonly ifindex: number;
	/** Whether it is still on its device. */
	alive(): boolean;
	detach(): void;
	close(): void;
}

/** Pins of device links: link_<program>_<ifindex>. bpffs takes no dots, so no device names. */
const PIN = /^link_(xdp|from_netdev|to_netdev|from_pod|to_pod)_\d+$/;
/** How long other work in this process may wait for attachments. */
const LONGEST_MS = 20;
/** Devices that auto leaves to TC. Those that ride on another one have no native XDP. */
const TC_ONLY: ReadonlySet<string> = new Set(['veth', 'vlan', 'macvlan', 'ipvlan']);
/** The device went away before we came. */
const VANISHED = new Set(['ENODEV', 'ENOENT', 'ENXIO']);

export class DeviceLinks {
	readonly #native: Native;
	readonly #options: DeviceLinksOptions;
	readonly #attached = new Map<string, Attached>();
	/** By pin: why it could not be attached. XDP that a driver refused is not tried again. */
	readonly #refused = new Map<string, string>();

	constructor(native: Native, options: DeviceLinksOptions) {
		this.#native = native;
		this.#options = options;
	}

	/**
	 * Makes what is attached equal to what is wanted: first adds, then removes. The kernel waits for an RCU grace period
	 * (about 20 ms) in each TCX attachment, so one call does only some.
	 * @returns `more`: call again at once; `failed`: something that may succeed later; `done`.
	 */
	apply(devices: Devices, all: readonly Link[]): 'done' | 'more' | 'failed' {
		const wanted = this.#wanted(devices);
		const begin = performance.now();
		let retry = false;
		for (const [pin, want] of wanted) {
			if (this.#attached.get(pin)?.alive()) continue;
			if (performance.now() - begin > LONGEST_MS) return 'more';
			this.#forget(pin);
			if (!this.#attach(pin, want)) retry = true;
		}
		for (const [pin, attached] of this.#attached) if (!wanted.has(pin)) this.#remove(pin, attached);
		for (const pin of this.#refused.keys()) if (!wanted.has(pin)) this.#refused.delete(pin);
		this.#removeStale(wanted, all);
		this.#updateXdpDevices();
		return retry ? 'failed' : 'done';
	}

	status(): AttachmentStatus[] {
		return [...this.#attached.values()].map(({ program, target, mode }) => ({ program, target, mode }));
	}

	problems(): string[] {
		return [...this.#refused.values()];
	}

	/** Lets go of the descriptors; everything stays attached by its pin. */
	close(): void {
		for (const attached of this.#attached.values()) attached.close();
		this.#attached.clear();
	}

	#wanted({ uplinks, pods }: Devices): Map<string, Wanted> {
		const { programs, xdp } = this.#options;
		const wanted = new Map<string, Wanted>();
		const add = (name: string, link: Link, program: Program, how: Wanted['how']) =>
			wanted.set(`link_${name}_${link.index}`, { link, program, how });
		for (const link of uplinks) {
			const mode = xdp !== 'auto' ? xdp : TC_ONLY.has(link.kind) ? 'off' : 'native';
			// TC first: it does all of XDP's work where XDP has none
			add('from_netdev', link, programs.fromNetdev, { direction: 'ingress' });
			add('to_netdev', link, programs.toNetdev, { direction: 'egress' });
			if (mode !== 'off' && programs.xdp) add('xdp', link, programs.xdp, { xdp: mode });
		}
		for (const link of pods) {
			add('from_pod', link, programs.fromPod, { direction: 'ingress' });
			add('to_pod', link, programs.toPod, { direction: 'egress' });
		}
		return wanted;
	}

	/** @returns false when it failed and is to be tried again. */
	#attach(pin: string, want: Wanted): boolean {
		if ('xdp' in want.how && this.#refused.has(pin)) return true;
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
		const problem = `${error.message} on ${want.link.name}; ${consequence}`;
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
		return isXdp;
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

	/** What an agent before us left: pins of devices that are gone or not ours, and filters on such devices. */
	#removeStale(wanted: ReadonlyMap<string, Wanted>, all: readonly Link[]): void {
		const { directory } = this.#options;
		for (const pin of readdirSync(directory))
			if (PIN.test(pin) && !wanted.has(pin)) removePinnedLink(this.#native, join(directory, pin));
		if ([...this.#attached.values()].every(({ mode }) => mode !== 'clsact')) return;
		const served = new Set([...wanted.values()].map(({ link }) => link.index));
		for (const { index } of all) if (!served.has(index)) detachFilters(this.#native, index);
	}

	/**
	 * Devices that frames of XDP may leave by. A driver in native mode takes frames of others only with a program of
	 * its own; the generic mode sends by any device, but not for a native program.
	 */
	#updateXdpDevices(): void {
		const { xdpDevices } = this.#options;
		const ours = [...this.#attached.values()];
		const native = ours.filter(({ mode }) => mode === 'native');
		const usable = native.length > 0 ? native : ours.filter(({ mode }) => mode === 'generic');
		const missing = new Set(usable.map(({ ifindex }) => ifindex));
		for (const [key] of [...xdpDevices.entries()]) {
			const ifindex = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
			if (!missing.delete(ifindex)) xdpDevices.delete(key);
		}
		for (const ifindex of missing) xdpDevices.update(word(ifindex), word(1));
	}
}

/** ifindexes of the devices that an agent before us had for uplinks, as far as links tell. */
export function pinnedUplinks(native: Native, directory: string): number[] {
	return readdirSync(directory).flatMap((pin) => {
		const ifindex = Number(/^link_from_netdev_(\d+)$/.exec(pin)?.[1]);
		if (!ifindex) return [];
		using link = openPinnedLink(native, join(directory, pin));
		return link?.state().ifindex === ifindex ? [ifindex] : [];
	});
}

const word = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);

function discard(link: BpfLink, path: string): void {
	link.detach();
	rmSync(path, { force: true });
	link.close();
}

/** Detaches a pinned link and removes its pin; a link whose device or cgroup is gone is just removed. */
export function removePinnedLink(native: Native, path: string): void {
	const link = openPinnedLink(native, path);
	if (!link) return;
	try {
		link.detach();
	} catch (error) {
		// already off; the pin goes all the same
		if (!isBpfError(error)) throw error;
	}
	rmSync(path, { force: true });
	link.close();
}

/** Filters have no pin; a path that is none makes findTc() look for the filter. */
const NO_PIN = '/sys/fs/bpf/none';

/** Takes our clsact filters off a device, both directions. @returns whether there were any. */
export function detachFilters(native: Native, ifindex: number): boolean {
	const ours = (['ingress', 'egress'] as const).flatMap(
		(direction) => findTc(native, { ifindex, direction }, NO_PIN) ?? [],
	);
	for (const filter of ours) filter.detach();
	return ours.length > 0;
}
