/** Measures nanoseconds a packet by BPF_PROG_TEST_RUN, less the cost of the wrapper. */
import { setImmediate } from 'node:timers/promises';
import { concat, mac } from '../packet/bytes.ts';
import type { Dataplane } from '../packet/fixture.ts';
import { MAC } from '../packet/shape.ts';
import { median } from './median.ts';
import { MANY, PATHS, type Path, prepare, writeReplies } from './paths.ts';
import { benchFrameCodec, FRAME_BYTES } from './plane.ts';

export interface PacketResult {
	path: string;
	hook: Path['hook'];
	family: Path['family'];
	flows: Path['flows'];
	/** Median over the rounds, less the cost of the wrapper. */
	ns: number;
	/** The fastest and the slowest round. */
	low: number;
	high: number;
}
export interface PacketReport {
	/**
	 * Cost of the test run itself, measured with a program that returns at once. The results exclude
	 * it.
	 */
	empty: Record<Path['hook'], number>;
	/** Cost of the wrapper with the test run, subtracted from every path. */
	wrapper: Record<Path['hook'], number>;
	results: PacketResult[];
}

const HOOKS = ['XDP', 'TC'] as const;
/**
 * The wrapper overwrites this frame. The kernel reads the destination MAC earlier, so it must be
 * the node's.
 */
const DATA = concat(mac(MAC.node), new Uint8Array(FRAME_BYTES - 6));

export interface PacketOptions {
	rounds: number;
	/** Packets a measurement. */
	runs: number;
	progress(round: number): void;
	signal: AbortSignal;
}

/**
 * Measures all paths in each of the `rounds`, so that a temporary load of the machine affects all
 * paths alike.
 */
export async function measurePackets(plane: Dataplane, options: PacketOptions): Promise<PacketReport> {
	const { rounds, runs, progress, signal } = options;
	prepare(plane);
	const samples = new Map<Path, number[]>(PATHS.map((path) => [path, []]));
	const empty = { XDP: [] as number[], TC: [] as number[] };
	const wrapper = { XDP: [] as number[], TC: [] as number[] };
	for (let round = 0; round < rounds; round++) {
		progress(round);
		for (const path of PATHS) {
			// signal handlers run only between two test runs
			await setImmediate();
			signal.throwIfAborted();
			start(plane, path);
			const cost = measureWrapper(plane, path, runs);
			wrapper[path.hook].push(cost);
			samples.get(path)!.push(measurePath(plane, path, runs, round) - cost);
		}
		for (const hook of HOOKS) empty[hook].push(run(plane, `bench_${hook.toLowerCase()}_empty`, 'up0', runs));
	}
	return report(samples, empty, wrapper);
}

function run(plane: Dataplane, name: string, dev: string, repeat: number): number {
	const index = plane.ifindex(dev);
	const context = name.startsWith('bench_xdp')
		? ({ kind: 'xdp', ingressIfindex: index } as const)
		: ({ kind: 'skb', ifindex: index, ingressIfindex: index } as const);
	return plane.within(() => plane.objects.program(name).testRun({ data: DATA, context, repeat })).durationNs;
}

/**
 * Empties the connection map, then writes the entries that the path needs and does not create
 * itself.
 */
function start(plane: Dataplane, path: Path): void {
	plane.clear();
	if (path.seed === 'written') writeReplies(plane, path.family);
	else if (path.seed !== 'itself') {
		put(plane, path.seed, 0);
		run(plane, path.seed.program, path.dev, MANY);
	}
}

function put(plane: Dataplane, path: Pick<Path, 'frame'>, next: number): void {
	plane.objects
		.map('bench_frames')
		.update(new Uint8Array(4), benchFrameCodec.encode({ ...path.frame, next }));
}

function measureWrapper(plane: Dataplane, path: Path, runs: number): number {
	put(plane, path, 0);
	return run(plane, `bench_${path.hook.toLowerCase()}_put`, path.dev, runs);
}

/**
 * Runs all flows once to create or warm their entries, then measures. Every run must take the
 * expected path.
 */
function measurePath(plane: Dataplane, path: Path, runs: number, round: number): number {
	const repeat = path.flows === MANY ? Math.max(runs, MANY) : runs;
	put(plane, path, round * 4 * repeat);
	run(plane, path.program, path.dev, path.flows === 1 ? 1000 : path.flows === MANY ? MANY : repeat);
	const { result, reasons } = plane.counting(() => run(plane, path.program, path.dev, repeat));
	const seen = reasons[path.reason] ?? 0;
	// One new flow in some thousands finds no free port at its first attempts or looks like a partial
	// checksum.
	if (seen < repeat * 0.99)
		throw new Error(
			`Cannot measure ${path.name} (${path.hook}, IP${path.family}): ${seen} of ${repeat} packets took it, ${JSON.stringify(reasons)}`,
		);
	return result;
}

function report(
	samples: Map<Path, number[]>,
	empty: Record<Path['hook'], number[]>,
	wrapper: Record<Path['hook'], number[]>,
): PacketReport {
	const results = [...samples].map(([{ name, hook, family, flows }, ns]): PacketResult => {
		return { path: name, hook, family, flows, ns: median(ns), low: Math.min(...ns), high: Math.max(...ns) };
	});
	const medians = (of: Record<Path['hook'], number[]>) => ({ XDP: median(of.XDP), TC: median(of.TC) });
	return { empty: medians(empty), wrapper: medians(wrapper), results };
}
