/** Loads BPF programs of a few instructions without an object file, to probe kernel features. */
import type { Native } from './ffi/library.ts';

/** System call number of bpf(2). */
const SYS_BPF: Readonly<Record<string, number>> = {
	x64: 321,
	arm64: 280,
	riscv64: 280,
	s390x: 351,
	ppc64: 361,
};
const BPF_PROG_LOAD = 5;
/** A pending signal makes the verifier return EAGAIN; libbpf retries for the same reason. */
const EAGAIN = -11;
const ATTEMPTS = 10;
const EPERM = -1;
/** <sys/resource.h>, and a struct rlimit with RLIM_INFINITY twice. */
const RLIMIT_MEMLOCK = 8;
const UNLIMITED = new Uint8Array(16).fill(0xff);
/** Bytes of union bpf_attr for BPF_PROG_LOAD up to attach_btf_id; the rest is zero. */
const ATTRIBUTES = 112;

/** bpf(2). `attributes` is the used part of union bpf_attr. @returns -errno on failure. */
export function bpfCall(native: Native, command: number, attributes: Uint8Array): number {
	const number = SYS_BPF[process.arch];
	if (number === undefined) throw new Error(`Cannot call bpf(2) on ${process.arch}: its number is unknown`);
	return native.hold([attributes], () =>
		native.call.syscall(number, command, native.address(attributes), attributes.length, 0, 0, 0),
	);
}

export const ProgramType = { SCHED_CLS: 3, XDP: 6, CGROUP_SOCK: 9, CGROUP_SOCK_ADDR: 18 } as const;

/** struct bpf_insn: opcode, destination and source register, offset, immediate. */
function instruction(opcode: number, registers: number, immediate = 0, offset = 0): Uint8Array {
	const bytes = new Uint8Array(8);
	const view = new DataView(bytes.buffer);
	bytes[0] = opcode;
	bytes[1] = registers;
	view.setInt16(2, offset, true);
	view.setInt32(4, immediate, true);
	return bytes;
}

export const set = (register: number, value: number) => instruction(0xb7, register, value);
export const copy = (to: number, from: number) => instruction(0xbf, (from << 4) | to);
export const shiftRight = (register: number, bits: number) => instruction(0x77, register, bits);
/** Stores 32 bits of a register at the address in another register. */
export const store32 = (base: number, offset: number, from: number) =>
	instruction(0x63, (from << 4) | base, 0, offset);
/** Occupies two instructions, and counts as two in a jump offset. */
export const set64 = (register: number, value: bigint): Uint8Array => {
	const low = instruction(0x18, register, Number(value & 0xffff_ffffn) | 0);
	return Uint8Array.from([...low, ...instruction(0, 0, Number(value >> 32n) | 0)]);
};
/** Skips `count` instructions when the registers differ. */
export const skipUnlessEqual = (one: number, other: number, count: number) =>
	instruction(0x5d, (other << 4) | one, 0, count);
export const add = (register: number, value: number) => instruction(0x07, register, value);
/** Calls a helper by its number in <linux/bpf.h>; the result is in r0. */
export const call = (helper: number) => instruction(0x85, 0, helper);
export const exit = () => instruction(0x95, 0);

export interface TinyProgram {
	readonly type: number;
	readonly attachType?: number;
	/** BPF_F_* of the program. */
	readonly flags?: number;
	readonly instructions: readonly Uint8Array[];
}

/**
 * @returns a descriptor that the caller closes, or -errno: EINVAL for a helper that the kernel
 * lacks.
 */
export function loadTiny(
	native: Native,
	{ type, attachType = 0, flags = 0, instructions }: TinyProgram,
): number {
	const code = Uint8Array.from(instructions.flatMap((bytes) => [...bytes]));
	const license = new TextEncoder().encode('GPL\0');
	const attributes = new Uint8Array(ATTRIBUTES);
	const view = new DataView(attributes.buffer);
	view.setUint32(0, type, true);
	view.setUint32(4, code.length / 8, true);
	view.setBigUint64(8, native.address(code), true);
	view.setBigUint64(16, native.address(license), true);
	view.setUint32(44, flags, true);
	view.setUint32(68, attachType, true);
	const load = () => bpfCall(native, BPF_PROG_LOAD, attributes);
	return native.hold([code, license], () => {
		let result = load();
		// before Linux 5.11, BPF memory counts against RLIMIT_MEMLOCK of the user; libbpf raises the
		// limit only for its own loads
		if (result === EPERM && native.call.setrlimit(RLIMIT_MEMLOCK, UNLIMITED) === 0) result = load();
		for (let i = 1; i < ATTEMPTS && result === EAGAIN; i++) result = load();
		return result;
	});
}
