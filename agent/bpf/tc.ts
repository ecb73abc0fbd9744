import { rmSync } from 'node:fs';
import { check } from './call.ts';
import { isBpfError } from './error.ts';
import type { Native } from './ffi/library.ts';
import { adoptLink, attachTcx, type BpfLink, openPinnedLink } from './link.ts';
import { tcxPrograms } from './others.ts';
import type { Program } from './program.ts';
import type { TcTarget } from './tc-target.ts';
import { AttachType, tcHookCodec, tcOptsCodec } from './uapi.ts';

/** A TC program attached to a device through TCX or a clsact filter. */
export interface TcAttachment extends TcTarget {
	readonly mechanism: 'tcx' | 'clsact';
	/** Replaces the program atomically. */
	update(program: Program): void;
	/** Kernel id of the attached program; undefined when it was detached. */
	programId(): number | undefined;
	/** TCX: ids of the programs that packets pass before this one. */
	ahead(): readonly number[];
	/** Detaches the program and removes the pin. */
	detach(): void;
	/** Closes descriptors; a pinned link or a filter stays. */
	close(): void;
}

export interface TcOptions {
	/** auto: TCX, or a filter on kernels without it (before 6.6). */
	readonly mechanism?: 'auto' | 'tcx' | 'clsact';
	/** Filters: the priority among others, and the handle that identifies ours. */
	readonly priority?: number;
	readonly handle?: number;
}

export const PRIORITY = 1;
/** "ml": distinguishes our filters from others at the same priority. */
export const HANDLE = 0x6d6c;
const EINVAL = 22;
const ENOENT = 2;
const EEXIST = 17;

/** Attaches a program, or adopts an existing attachment of it. A TCX link is pinned at `path`. */
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
	return linkAttachment(native, link, target, path);
}

function linkAttachment(native: Native, link: BpfLink, target: TcTarget, path: string): TcAttachment {
	return {
		...target,
		mechanism: 'tcx',
		update: (program) => link.update(program),
		programId() {
			const state = link.state();
			return state.ifindex ? state.programId : undefined;
		},
		ahead() {
			const ids = tcxPrograms(native, target);
			return ids.slice(0, Math.max(0, ids.indexOf(link.state().programId)));
		},
		detach() {
			link.detach();
			rmSync(path, { force: true });
			link.close();
		},
		close: () => link.close(),
	};
}

/** Opens an attachment that attachTc() left on a device. @returns undefined when there is none. */
export function findTc(
	native: Native,
	target: TcTarget,
	path: string,
	options: TcOptions = {},
): TcAttachment | undefined {
	const link = openPinnedLink(native, path);
	if (link) return linkAttachment(native, link, target, path);
	const filter = filterAttachment(native, target, options);
	return filter.programId() === undefined ? undefined : filter;
}

function attachFilter(native: Native, program: Program, target: TcTarget, options: TcOptions): TcAttachment {
	// The qdisc often exists already, and libbpf warns about it.
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
		ahead: () => [],
		detach() {
			const { result } = native.log.capture(() => native.call.bpf_tc_detach(hookOf(target), opts()));
			if (result !== -ENOENT && result !== -EINVAL) check(result, 'detach from', name);
		},
		close() {},
	};
}

/** Removes the clsact qdisc from a device, with all filters in it. */
export function removeClsact(native: Native, ifindex: number): void {
	// both directions at once mean the whole qdisc
	const hook = tcHookCodec.encode({ sz: BigInt(tcHookCodec.size), ifindex, attachPoint: 3 });
	check(native.call.bpf_tc_hook_destroy(hook), 'take the clsact qdisc off', `device ${ifindex}`);
}

const placeOf = ({ direction, ifindex }: TcTarget) => `clsact ${direction} of device ${ifindex}`;

function hookOf({ ifindex, direction }: TcTarget): Uint8Array {
	const attachPoint = direction === 'ingress' ? 1 : 2;
	return tcHookCodec.encode({ sz: BigInt(tcHookCodec.size), ifindex, attachPoint });
}
