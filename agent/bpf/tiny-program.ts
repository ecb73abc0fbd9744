/** BPF programs of a few instructions, loaded without an object file: they ask the kernel what it can do. */
import type { Native } from './ffi/native.ts';

/** System call bpf(2). */
const SYS_BPF: Readonly<Record<string, number>> = {
	x64: 321,
	arm64: 280,
	riscv64: 280,
	s390x: 351,
	ppc64: 361,
};
const BPF_PROG_LOAD = 5;
/** The verifier gives up when a signal is pending; libbpf tries again for the same reason. */
const EAGAIN = -11;
const ATTEMPTS = 10;
/** union bpf_attr for BPF_PROG_LOAD up to attach_btf_id; what follows is zero. */
const ATTRIBUTES = 112;

export const ProgramType = { SCHED_CLS: 3, CGROUP_SOCK_ADDR: 18 } as const;

/** struct bpf_insn: opcode, destination and source register, offset, immediate. */
function instruction(opcode: number, registers: number, immediate = 0): Uint8Array {
	const bytes = new Uint8Array(8);
	bytes[0] = opcode;
	bytes[1] = registers;
	new DataView(bytes.buffer).setInt32(4, immediate, true);
	return bytes;
}

export const set = (register: number, value: number) => instruction(0xb7, register, value);
/** Calls a helper by its number in <linux/bpf.h>; r0 is its result. */
export const call = (helper: number) => instruction(0x85, 0, helper);
export const exit = () => instruction(0x95, 0);

export interface TinyProgram {
	readonly type: number;
	readonly attachType?: number;
	readonly instructions: readonly Uint8Array[];
}

/** @returns a descriptor that the caller closes, or -errno: EINVAL for a helper that the kernel has not. */
export function loadTiny(native: Native, { type, attachType = 0, instructions }: TinyProgram): number {
	const code = Uint8Array.from(instructions.flatMap((bytes) => [...bytes]));
	const license = new TextEncoder().encode('GPL\0');
	const attributes = new Uint8Array(ATTRIBUTES);
	const view = new DataView(attributes.buffer);
	view.setUint32(0, type, true);
	view.setUint32(4, instructions.length, true);
	view.setBigUint64(8, native.address(code), true);
	view.setBigUint64(16, native.address(license), true);
	view.setUint32(68, attachType, true);
	const number = SYS_BPF[process.arch];
	if (number === undefined) throw new Error(`Cannot call bpf(2) on ${process.arch}: its number is unknown`);
	const load = () =>
		native.call.syscall(number, BPF_PROG_LOAD, native.address(attributes), ATTRIBUTES, 0, 0, 0);
	return native.hold([code, license, attributes], () => {
		let result = load();
		for (let i = 1; i < ATTEMPTS && result === EAGAIN; i++) result = load();
		return result;
	});
}
