import { check, infoOf } from './call.ts';
import type { Native } from './ffi/library.ts';
import { progInfoCodec, testRunOptsCodec } from './uapi.ts';

/** Bytes beyond the input for programs that grow a packet. */
const GROWTH = 512;
/** sizeof(struct xdp_md), sizeof(struct __sk_buff). */
const XDP_MD = 24;
const SK_BUFF = 192;

/** Context fields that a test run may set. Devices must belong to the current network namespace. */
export type TestContext =
	| { readonly kind: 'xdp'; readonly ingressIfindex: number; readonly rxQueueIndex?: number }
	| {
			readonly kind: 'skb';
			readonly ifindex?: number;
			readonly ingressIfindex?: number;
			readonly mark?: number;
			readonly priority?: number;
			readonly cb?: readonly number[];
			/** Marks the packet as GSO with segments of this many bytes. */
			readonly gsoSize?: number;
	  };

export interface TestRun {
	/** A packet with its Ethernet header; at least 14 bytes. */
	readonly data?: Uint8Array;
	/** Context, or its raw bytes for other program types. */
	readonly context?: TestContext | Uint8Array;
	/** Number of runs, without a reset of the packet in between. Default 1. */
	readonly repeat?: number;
}

export interface TestResult {
	/** The program's return value: XDP_*, TC_ACT_*. */
	readonly retval: number;
	/** The packet after the run. */
	readonly data: Uint8Array;
	/** The context after the run; empty when none was passed. */
	readonly context: Uint8Array;
	/** Mean duration of one run. */
	readonly durationNs: number;
}

/** A loaded program. Its object owns the descriptor. */
export class Program {
	readonly name: string;
	/** The section name in SEC(). */
	readonly section: string;
	readonly fd: number;
	/** Kernel id of the program, for comparison with LinkState.programId. */
	readonly id: number;
	readonly #native: Native;

	constructor(native: Native, fd: number, name: string, section: string) {
		this.#native = native;
		this.fd = fd;
		this.name = name;
		this.section = section;
		this.id = infoOf(native, fd, progInfoCodec, `program ${name}`).id;
	}

	/** BPF_PROG_TEST_RUN. @throws BpfError EINVAL for frames below 14 bytes and unknown devices. */
	testRun(run: TestRun): TestResult {
		const native = this.#native;
		const { data, repeat = 1 } = run;
		const context = contextBytes(run.context, data?.length ?? 0);
		const dataOut = data && new Uint8Array(data.length + GROWTH);
		const contextOut = context && new Uint8Array(context.length);
		const address = (memory: Uint8Array | undefined) => (memory ? native.address(memory) : 0n);
		const opts = testRunOptsCodec.encode({
			sz: BigInt(testRunOptsCodec.size),
			dataIn: address(data),
			dataOut: address(dataOut),
			dataSizeIn: data?.length ?? 0,
			dataSizeOut: dataOut?.length ?? 0,
			ctxIn: address(context),
			ctxOut: address(contextOut),
			ctxSizeIn: context?.length ?? 0,
			ctxSizeOut: contextOut?.length ?? 0,
			retval: 0,
			repeat,
			duration: 0,
			flags: 0,
		});
		const result = native.hold([data, dataOut, context, contextOut], () =>
			native.call.bpf_prog_test_run_opts(this.fd, opts),
		);
		check(result, 'run', `program ${this.name}`);
		const out = testRunOptsCodec.decode(opts);
		return {
			retval: out.retval,
			data: dataOut?.slice(0, out.dataSizeOut) ?? new Uint8Array(),
			context: contextOut?.slice(0, out.ctxSizeOut) ?? new Uint8Array(),
			durationNs: out.duration,
		};
	}
}

/** struct xdp_md or struct __sk_buff (<linux/bpf.h>). */
function contextBytes(context: TestRun['context'], length: number): Uint8Array | undefined {
	if (context === undefined || context instanceof Uint8Array) return context;
	const bytes = new Uint8Array(context.kind === 'xdp' ? XDP_MD : SK_BUFF);
	const view = new DataView(bytes.buffer);
	const put = (offset: number, value = 0) => view.setUint32(offset, value, true);
	if (context.kind === 'xdp') {
		put(4, length);
		put(12, context.ingressIfindex);
		put(16, context.rxQueueIndex);
	} else {
		put(8, context.mark);
		put(32, context.priority);
		put(36, context.ingressIfindex);
		put(40, context.ifindex);
		put(176, context.gsoSize);
		for (const [i, value] of (context.cb ?? []).slice(0, 5).entries()) put(48 + 4 * i, value);
	}
	return bytes;
}
