import { closeSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { check, infoOf, openPin } from './call.ts';
import { isBpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import type { Program } from './program.ts';
import { AttachType, LinkType, linkCreateOptsCodec, linkInfoCodec } from './uapi.ts';

/** XDP_FLAGS_*_MODE of <linux/if_link.h>. */
const XDP_MODE = { generic: 1 << 1, native: 1 << 2 } as const;

export type XdpMode = keyof typeof XDP_MODE;

/** Program and target of a link. */
export interface LinkState {
	readonly kind: 'xdp' | 'tcx' | 'cgroup' | 'other';
	/** Kernel id of the program; compare it with Program.id. */
	readonly programId: number;
	/** XDP and TCX: the device in its own namespace; 0 when the device is gone. */
	readonly ifindex: number | undefined;
	/** Cgroup: its id; 0 when the cgroup is gone. */
	readonly cgroupId: bigint | undefined;
	/** TCX and cgroup. */
	readonly attachType: number | undefined;
}

/** An attached program. It stays attached while a descriptor or a pin of the link exists. */
export class BpfLink implements Disposable {
	/** For messages: XDP of device 3, pin /sys/fs/bpf/... */
	readonly name: string;
	readonly fd: number;
	readonly #native: Native;
	#closed = false;

	constructor(native: Native, fd: number, name: string) {
		this.#native = native;
		this.fd = fd;
		this.name = name;
	}

	state(): LinkState {
		const info = infoOf(this.#native, this.fd, linkInfoCodec, `link ${this.name}`);
		const device = info.type === LinkType.XDP || info.type === LinkType.TCX;
		const cgroup = info.type === LinkType.CGROUP;
		return {
			kind:
				info.type === LinkType.XDP ? 'xdp' : info.type === LinkType.TCX ? 'tcx' : cgroup ? 'cgroup' : 'other',
			programId: info.programId,
			ifindex: device ? info.target : undefined,
			cgroupId: cgroup ? BigInt(info.target) | (BigInt(info.second) << 32n) : undefined,
			attachType: cgroup ? info.third : info.type === LinkType.TCX ? info.second : undefined,
		};
	}

	/** Replaces the program atomically; every packet meets one of the two. */
	update(program: Program): void {
		const result = this.#native.call.bpf_link_update(this.fd, program.fd, null);
		check(result, `put program ${program.name} into`, `link ${this.name}`);
	}

	/** Pins the link in bpffs, so that it outlives this process. @throws BpfError EEXIST */
	pin(path: string): void {
		mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
		check(this.#native.call.bpf_obj_pin(this.fd, path), 'pin', `link ${this.name} at ${path}`);
	}

	/** Detaches the program, even if another process holds the link. */
	detach(): void {
		check(this.#native.call.bpf_link_detach(this.fd), 'detach', `link ${this.name}`);
	}

	/** Closes the descriptor. Without a pin, the kernel then detaches the program. */
	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#native.call.close(this.fd);
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

function create(
	native: Native,
	program: Program,
	target: number,
	type: AttachType,
	flags: number,
	name: string,
) {
	const opts = linkCreateOptsCodec.encode({ sz: BigInt(linkCreateOptsCodec.size), flags });
	const result = native.call.bpf_link_create(program.fd, target, type, opts);
	return new BpfLink(native, check(result, `attach program ${program.name} to`, name), name);
}

/**
 * Attaches XDP to a device of the current network namespace.
 * @throws BpfError EOPNOTSUPP or EINVAL when the driver has no native mode or refuses the MTU,
 * EBUSY when another program is attached.
 */
export function attachXdp(native: Native, program: Program, ifindex: number, mode: XdpMode): BpfLink {
	return create(
		native,
		program,
		ifindex,
		AttachType.XDP,
		XDP_MODE[mode],
		`XDP (${mode}) of device ${ifindex}`,
	);
}

/**
 * BPF_F_BEFORE of <linux/bpf.h>, without a reference program: before all others. No flag: after all
 * others.
 */
const PLACES = { first: 1 << 3, last: 0 } as const;

/**
 * Attaches through TCX (Linux 6.6), before all other programs: one that returns TC_ACT_OK or
 * redirects would hide the packet from ours.
 * @param place `last`: after all others.
 * @throws BpfError EINVAL on older kernels.
 */
export function attachTcx(
	native: Native,
	program: Program,
	ifindex: number,
	direction: 'ingress' | 'egress',
	place: keyof typeof PLACES = 'first',
): BpfLink {
	const type = direction === 'ingress' ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS;
	return create(native, program, ifindex, type, PLACES[place], `TCX ${direction} of device ${ifindex}`);
}

/** Attaches to a cgroup v2 directory, in addition to other programs. */
export function attachCgroup(native: Native, program: Program, path: string, type: AttachType): BpfLink {
	const fd = openSync(path, 'r');
	try {
		return create(native, program, fd, type, 0, `cgroup ${path}`);
	} finally {
		closeSync(fd);
	}
}

/** Opens a pinned link. @returns undefined when nothing is pinned there. */
export function openPinnedLink(native: Native, path: string): BpfLink | undefined {
	const fd = openPin(native, path, 'link');
	return fd === undefined ? undefined : new BpfLink(native, fd, path);
}

/**
 * @returns false when the link cannot take the program: that of another ABI may have another type.
 */
function updated(link: BpfLink, program: Program): boolean {
	try {
		link.update(program);
		return true;
	} catch (error) {
		if (isBpfError(error, 'EINVAL')) return false;
		throw error;
	}
}

/**
 * Returns the link pinned at `path` with this program. Updates an existing link that `fits` in
 * place, so that traffic sees no gap. Replaces a link that does not fit (its device is gone, or
 * another) or that refuses the program.
 */
export function adoptLink(
	native: Native,
	path: string,
	program: Program,
	fits: (state: LinkState) => boolean,
	make: () => BpfLink,
): BpfLink {
	const pinned = openPinnedLink(native, path);
	if (pinned) {
		const state = pinned.state();
		const fitting = fits(state);
		if (fitting && (state.programId === program.id || updated(pinned, program))) return pinned;
		if (fitting) pinned.detach();
		rmSync(path);
		pinned.close();
	}
	const link = make();
	try {
		link.pin(path);
	} catch (error) {
		link.close();
		throw error;
	}
	return link;
}
