import { rmSync } from 'node:fs';
import { check } from './call.ts';
import { isBpfError } from './error.ts';
import type { Native } from './ffi/native.ts';
import { adoptLink, attachTcx, type BpfLink, openPinnedLink } from './link.ts';
import type { Program } from './program.ts';
import { AttachType, tcHookCodec, tcOptsCodec } from './uapi.ts';

export type TcDirection = 'ingress' | 'egress';

/** Where a TC program goes: a device of the current network namespace. */
export interface TcTarget {
	readonly ifindex: number;
	readonly direction: TcDirection;
}

/** A TC program on a device, by TCX or by a clsact filter. */
export interface TcAttachment extends TcTarget {
	readonly mechanism: 'tcx' | 'clsact';
	/** Puts another program in place without a gap. */
	update(program: Program): void;
	/** Kernel's number of the program there, undefined when it was taken off. */
	programId(): number | undefined;
	/** Takes the program off, and the pin away. */
	detach(): void;
	/** Lets go; what is pinned, or a filter, stays. */
	close(): void;
}

export interface TcOptions {
	/** auto: TCX, and a filter where the kernel has none (before 6.6). */
	readonly mechanism?: 'auto' | 'tcx' | 'clsact';
	/** Filters: their place among others, and the handle by which they are found again. */
	readonly priority?: number;
	readonly handle?: number;
}

const PRIORITY = 1;
/** "ml": tells our filters from others' at the same priority. */
const HANDLE = 0x6d6c;
const EINVAL = 22;
const ENOENT = 2;
const EEXIST = 17;

/** Attaches or adopts: the same program on the same place is left as it is. Pinned at `path` when by TCX. */
export function attachTc(
	native: Native,
	program: Program,
	target: TcTarget,
	path: string,
	options: TcOptions = {},
): TcAttachment {
	const mechanism = options.mechanism ?? 'auto';
	if (mechanism === 'clsact') return attachFilter(native, program, target, options);
	try {
		return attachLink(native, program, target, path);
	} catch (error) {
		if (mechanism === 'tcx' || !isBpfError(error, 'EINVAL')) throw error;
		return attachFilter(native, program, target, options);
	}
}

function attachLink(native: Native, program: Program, target: TcTarget, path: string): TcAttachment {
	const { ifindex, direction } = target;
	const type = direction === 'ingress' ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS;
	const link = adoptLink(
		native,
		path,
		program,
		(state) => state.kind === 'tcx' && state.ifindex === ifindex && state.attachType === type,
		() => attachTcx(native, program, ifindex, direction),
	);
	return linkAttachment(link, target, path);
}

function linkAttachment(link: BpfLink, target: TcTarget, path: string): TcAttachment {
	return {
		...target,
		mechanism: 'tcx',
		update: (program) => link.update(program),
		programId() {
			const state = link.state();
			return state.ifindex ? state.programId : undefined;
		},
		detach() {
			link.detach();
			rmSync(path, { force: true });
			link.close();
		},
		close: () => link.close(),
	};
}

/** Opens what attachTc() left on a device. @returns undefined when there is nothing of ours. */
export function findTc(
	native: Native,
	target: TcTarget,
	path: string,
	options: TcOptions = {},
): TcAttachment | undefined {
	const link = openPinnedLink(native, path);
	if (link) return linkAttachment(link, target, path);
	const filter = filterAttachment(native, target, options);
	return filter.programId() === undefined ? undefined : filter;
}

function attachFilter(native: Native, program: Program, target: TcTarget, options: TcOptions): TcAttachment {
	// The qdisc is often there, and libbpf warns of it.
	const { result } = native.log.capture(() => native.call.bpf_tc_hook_create(hookOf(target)));
	if (result !== -EEXIST) check(result, 'add the clsact qdisc to', `device ${target.ifindex}`);
	const filter = filterAttachment(native, target, options);
	if (filter.programId() !== program.id) filter.update(program);
	return filter;
}

function filterAttachment(native: Native, target: TcTarget, options: TcOptions): TcAttachment {
	const name = placeOf(target);
	const place = { handle: options.handle ?? HANDLE, priority: options.priority ?? PRIORITY };
	const opts = (progFd = 0, flags = 0) =>
		tcOptsCodec.encode({ sz: BigInt(tcOptsCodec.size), progFd, flags, progId: 0, ...place });
	return {
		...target,
		mechanism: 'clsact',
		update(program) {
			const result = native.call.bpf_tc_attach(hookOf(target), opts(program.fd, 1));
			check(result, `attach program ${program.name} to`, name);
		},
		programId() {
			const query = opts();
			const { result } = native.log.capture(() => native.call.bpf_tc_query(hookOf(target), query));
			// EINVAL: the device has no clsact qdisc.
			if (result === -ENOENT || result === -EINVAL) return undefined;
			check(result, 'query', name);
			return tcOptsCodec.decode(query).progId;
		},
		detach() {
			const { result } = native.log.capture(() => native.call.bpf_tc_detach(hookOf(target), opts()));
			if (result !== -ENOENT && result !== -EINVAL) check(result, 'detach from', name);
		},
		close() {},
	};
}

/** Takes the clsact qdisc off a device. Filters that are still in it go as well. */
export function removeClsact(native: Native, ifindex: number): void {
	// both directions at once mean the qdisc
	const hook = tcHookCodec.encode({ sz: BigInt(tcHookCodec.size), ifindex, attachPoint: 3 });
	check(native.call.bpf_tc_hook_destroy(hook), 'take the clsact qdisc off', `device ${ifindex}`);
}

const placeOf = ({ direction, ifindex }: TcTarget) => `clsact ${direction} of device ${ifindex}`;

function hookOf({ ifindex, direction }: TcTarget): Uint8Array {
	const attachPoint = direction === 'ingress' ? 1 : 2;
	return tcHookCodec.encode({ sz: BigInt(tcHookCodec.size), ifindex, attachPoint });
}
