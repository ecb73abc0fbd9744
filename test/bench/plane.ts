/**
 * Compiles the sources of bpf/ with a wrapper that writes a fresh frame into the buffer before each
 * run.
 */
import { join } from 'node:path';
import { bytes, u32 } from '../../agent/abi/codec.ts';
import { ConnFlag, connCodec, type Tuple, tupleCodec } from '../../agent/abi/layout.ts';
import { type StructCodec, struct } from '../../agent/abi/struct.ts';
import { compileFile, findClang } from '../../agent/bpf/clang.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { probe } from '../../agent/bpf/probe.ts';
import { fibConfig } from '../../agent/bpf/probe-fib.ts';
import { onesSum } from '../packet/bytes.ts';
import { Dataplane, SNAT_PORTS } from '../packet/fixture.ts';
import { Net } from '../packet/net.ts';
import { Objects, PINS, REPOSITORY } from '../packet/objects.ts';

/** BENCH_FRAME of frame.h. */
export const FRAME_BYTES = 80;

/** A 16-bit field of the frame in network order: low + (flow >> shift & mask). */
export interface Field {
	offset: number;
	low: number;
	shift: number;
	mask: number;
}
export interface BenchFrame {
	a: Field;
	b: Field;
	flowMask: number;
	next: number;
	bytes: Uint8Array;
}

const fieldCodec: StructCodec<Field> = struct<Field>('bench_field', 16, {
	offset: ['offset', 0, u32],
	low: ['low', 4, u32],
	shift: ['shift', 8, u32],
	mask: ['mask', 12, u32],
});
export const benchFrameCodec: StructCodec<BenchFrame> = struct<BenchFrame>('bench_frame', 40 + FRAME_BYTES, {
	a: ['a', 0, fieldCodec],
	b: ['b', 16, fieldCodec],
	flowMask: ['flow_mask', 32, u32],
	next: ['next', 36, u32],
	bytes: ['bytes', 40, bytes(FRAME_BYTES)],
});

/** Full-size maps, so that the benchmark has the cache misses of a real node. */
const SIZES = { frontends: 65536, backends: 65536, connections: 262144 };

/** @throws Error without clang, because releases do not contain the wrapper */
export async function openPlane(directory: string, prefix = 'mlpb'): Promise<Dataplane> {
	const clang = await findClang();
	if (!clang)
		throw new Error('Cannot measure packets: there is no clang to compile the benchmark with; install clang');
	const sources = join(REPOSITORY, 'test/bench');
	const files = ['xdp', 'tc'].map(
		(name) => [join(sources, `${name}.bpf.c`), join(directory, `${name}.bpf.o`)] as const,
	);
	await Promise.all(files.map(([source, object]) => compileFile(clang, sources, source, object)));
	const net = new Net(prefix);
	try {
		const objects = files.map(([, object]) => object);
		const native = openNative('koffi');
		const rodata = { ...SNAT_PORTS, confirm_seconds: 1, ...fibConfig(probe(native, PINS).fib) };
		return new Dataplane(net, new Objects(native, objects, join(net.prefix, 'v1'), rodata, SIZES));
	} catch (error) {
		net.close();
		throw error;
	}
}

/** Encodes a reply entry as conn_mirror() of bpf/conn.h writes it. */
export function replyEntry(key: Tuple, nat: Tuple): [key: Uint8Array, value: Uint8Array] {
	const seen = { packet: 1, more: 1, fin: 0, rst: 0 };
	const value = {
		nat,
		backendId: 1,
		backendGeneration: 1,
		serviceId: 1,
		flags: ConnFlag.SNAT,
		lastSeen: 0,
		addrDiff: difference(addresses(key), addresses(nat)),
		portDiff: difference(ports(key), ports(nat)),
		frontendEpoch: 0,
		claim: 0,
		slot: 0,
		backendClosedFirst: 0,
		own: seen,
		peer: seen,
	};
	return [tupleCodec.encode(key), connCodec.encode(value)];
}

const addresses = ({ saddr, daddr }: Tuple) => [saddr, daddr];
const ports = ({ sport, dport }: Tuple) => [
	Uint8Array.from([sport >> 8, sport & 255, dport >> 8, dport & 255]),
];

/** ~m + m' of RFC 1624 over 16-bit words in host (little-endian) order. */
function difference(from: Uint8Array[], to: Uint8Array[]): number {
	const sum = (~onesSum(...from) & 0xffff) + onesSum(...to);
	const folded = (sum & 0xffff) + (sum >>> 16);
	return ((folded & 0xff) << 8) | (folded >> 8);
}
