/** Finds programs and filters of other owners on our devices, with their names and order. */
import { u32Of } from '../abi/u32.ts';
import { check } from './call.ts';
import type { Native } from './ffi/library.ts';
import type { Filter } from './netlink-message.ts';
import type { TcTarget } from './tc-target.ts';
import { bpfCall } from './tiny-program.ts';
import { AttachType } from './uapi.ts';

const BPF_PROG_GET_FD_BY_ID = 13;
const BPF_PROG_QUERY = 16;
/** Limit of bpf_mprog for one hook. */
const MOST_PROGRAMS = 64;
/** Size of struct bpf_prog_info up to and including the name. */
const PROG_INFO = 80;
const PROG_NAME = 64;

/** Ids of the TCX programs on one side of a device, in the order that packets pass them. */
export function tcxPrograms(native: Native, { ifindex, direction }: TcTarget): number[] {
	const ids = new Uint8Array(4 * MOST_PROGRAMS);
	const attributes = new Uint8Array(64);
	const view = new DataView(attributes.buffer);
	view.setUint32(0, ifindex, true);
	view.setUint32(4, direction === 'ingress' ? AttachType.TCX_INGRESS : AttachType.TCX_EGRESS, true);
	view.setBigUint64(16, native.address(ids), true);
	view.setUint32(24, MOST_PROGRAMS, true);
	const result = native.hold([ids], () => bpfCall(native, BPF_PROG_QUERY, attributes));
	check(result, 'query the programs at', `TCX ${direction} of device ${ifindex}`);
	return [...new Uint32Array(ids.buffer, 0, view.getUint32(24, true))];
}

/** `name (id 12)`; without CAP_SYS_ADMIN the kernel hides names: `program 12`. */
export function programName(native: Native, id: number): string {
	const attributes = new Uint8Array(12);
	new DataView(attributes.buffer).setUint32(0, id, true);
	const fd = bpfCall(native, BPF_PROG_GET_FD_BY_ID, attributes);
	if (fd < 0) return `program ${id}`;
	try {
		const info = new Uint8Array(PROG_INFO);
		const length = new Uint8Array(Uint32Array.of(PROG_INFO).buffer);
		if (native.call.bpf_obj_get_info_by_fd(fd, info, length) < 0) return `program ${id}`;
		const name = new TextDecoder().decode(info.subarray(PROG_NAME)).replace(/\0.*$/s, '');
		return name === '' ? `program ${id}` : `${name} (id ${id})`;
	} finally {
		native.call.close(fd);
	}
}

/** The XDP program of any owner on a device; undefined when there is none. */
export function xdpProgram(native: Native, ifindex: number): string | undefined {
	const id = new Uint8Array(4);
	if (native.call.bpf_xdp_query_id(ifindex, 0, id) < 0) return undefined;
	const number = u32Of(id);
	return number === 0 ? undefined : programName(native, number);
}

/**
 * Name of a filter in the terms of `tc filter`: `flower at priority 1`, `bpf cil_from_netdev at
 * priority 1`.
 */
export function filterName({ kind, name, priority }: Filter): string {
	return `${name === '' ? kind : `${kind} ${name}`} at priority ${priority}`;
}
