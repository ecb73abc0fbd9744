/** Probes the flags of bpf_fib_lookup() in this kernel. */
import { check } from './call.ts';
import type { Feature } from './feature.ts';
import type { Native } from './ffi/library.ts';
import { Program } from './program.ts';
import type { RodataValues } from './rodata.ts';
import { add, call, copy, exit, loadTiny, ProgramType, set, store32 } from './tiny-program.ts';

export interface FibFeatures {
	/** Route lookup without the neighbour (6.3): TC lets the neighbour table send. */
	readonly skipNeighbour: Feature;
	/** Source address of the route (6.7); else the agent supplies the address of the device. */
	readonly source: Feature;
	/** Policy routing rules that match a mark (6.10). */
	readonly mark: Feature;
}

const FIB_LOOKUP = 69;
const SKIP_NEIGH = 1 << 2;
const SRC = 1 << 4;
const MARK = 1 << 5;
const ENODEV = 19;
const AF_INET = 2;
/** Size of struct bpf_fib_lookup, and the offset of its ifindex. */
const SIZE = 64;
const IFINDEX = 8;
const NO_DEVICE = 0x7fff_fff0;
const FRAME = new Uint8Array(64);

/** @throws BpfError when the kernel refuses a program of a few instructions. */
export function probeFib(native: Native, capable: boolean): FibFeatures {
	const answer = (flag: number, yes: string, no: string): Feature => {
		const ok = capable && knows(native, flag);
		return { ok, why: ok ? yes : no };
	};
	return {
		skipNeighbour: answer(
			SKIP_NEIGH,
			'routes are looked up without neighbours',
			'no BPF_FIB_LOOKUP_SKIP_NEIGH before Linux 6.3: neighbours are looked up twice',
		),
		source: answer(
			SRC,
			'the kernel returns the source of each route',
			"no BPF_FIB_LOOKUP_SRC before Linux 6.7: forwarded connections have the device's first address for their source",
		),
		mark: answer(
			MARK,
			'routing rules by mark are heeded',
			'no BPF_FIB_LOOKUP_MARK before Linux 6.10: routing rules by mark are not heeded for forwarded connections',
		),
	};
}

/** Variables of bpf/config.h. */
export function fibConfig({ skipNeighbour, source, mark }: FibFeatures): RodataValues {
	return {
		have_fib_skip_neigh: Number(skipNeighbour.ok),
		have_fib_src: Number(source.ok),
		have_fib_mark: Number(mark.ok),
	};
}

/**
 * The helper refuses unknown flags with EINVAL. Known flags get as far as the missing device:
 * ENODEV.
 */
function knows(native: Native, flag: number): boolean {
	const words = Array.from({ length: SIZE / 4 }, (_, i) => store32(10, i * 4 - SIZE, 3));
	const instructions = [
		set(3, 0),
		...words,
		set(3, AF_INET),
		store32(10, -SIZE, 3),
		set(3, NO_DEVICE),
		store32(10, IFINDEX - SIZE, 3),
		copy(2, 10),
		add(2, -SIZE),
		set(3, SIZE),
		set(4, flag),
		call(FIB_LOOKUP),
		exit(),
	];
	const tiny = { type: ProgramType.SCHED_CLS, instructions };
	const fd = check(loadTiny(native, tiny), 'load', 'a program of a few instructions');
	try {
		return new Program(native, fd, 'probe', '').testRun({ data: FRAME }).retval === 2 ** 32 - ENODEV;
	} finally {
		native.call.close(fd);
	}
}
