/**
 * Contexts for BPF_PROG_TEST_RUN on this kernel. Kernels gained the ingress device later than test
 * runs.
 */
import { isBpfError } from '../../agent/bpf/error.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { Program, type TestContext } from '../../agent/bpf/program.ts';
import { exit, loadTiny, ProgramType, set } from '../../agent/bpf/tiny-program.ts';

/** Handles features that this kernel cannot test. setup.ts replaces it by a skip. */
export const unrunnable = {
	say(why: string): never {
		throw new Error(why);
	},
};

const LOOPBACK = 1;
/** enum bpf_prog_type. */
const PROGRAM_TYPE_XDP = 6;
const known = new Map<TestContext['kind'], boolean>();

/** Whether the kernel accepts an ingress device. Tries it with a program that returns at once. */
function takesEntry(native: Native, kind: TestContext['kind']): boolean {
	const before = known.get(kind);
	if (before !== undefined) return before;
	const type = kind === 'xdp' ? PROGRAM_TYPE_XDP : ProgramType.SCHED_CLS;
	const fd = loadTiny(native, { type, instructions: [set(0, 0), exit()] });
	try {
		const context = { kind, ingressIfindex: LOOPBACK };
		new Program(native, fd, 'nothing', '').testRun({ data: new Uint8Array(64), context });
		known.set(kind, true);
	} catch (error) {
		if (!isBpfError(error, 'EINVAL')) throw error;
		known.set(kind, false);
	} finally {
		native.call.close(fd);
	}
	return known.get(kind)!;
}

/** The context of a frame at a device. A test run for an skb works without its ingress device. */
export function contextAt(native: Native, kind: 'xdp' | 'tc', ifindex: number): TestContext {
	if (kind === 'tc')
		return { kind: 'skb', ifindex, ...(takesEntry(native, 'skb') && { ingressIfindex: ifindex }) };
	if (!takesEntry(native, kind)) unrunnable.say('test runs of this kernel cannot name the device of XDP');
	return { kind, ingressIfindex: ifindex };
}
