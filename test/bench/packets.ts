/** Nanoseconds a packet by BPF_PROG_TEST_RUN, less what the wrapper costs. */
import { setImmediate } from 'node:timers/promises';
import type { Dataplane } from '../packet/fixture.ts';
import { median } from './median.ts';
import { MANY, PATHS, type Path, prepare, writeReplies } from './paths.ts';
import { benchFrameCodec, FRAME_BYTES } from './plane.ts';

export interface PacketResult {
	path: string;
	hook: Path['hook'];
	family: Path['family'];
	flows: Path['flows'];
	/** Median over the rounds, the wrapper taken off. */
	ns: number;
	/** The lowest and highest round. */
	low: number;
	high: number;
}
export interface PacketReport {
	/** Of a program that returns at once: the cost of the test run itself, which is in no figure. */
	empty: Record<Path['hook'], number>;
	/** Of the wrapper, test run included; taken off every path. */
	wrapper: Record<Path['hook'], number>;
	results: PacketResult[];
}

const HOOKS = ['XDP', 'TC'] as const;
/** The wrapper fills it. */
const DATA = new Uint8Array(FRAME_BYTES);

export interface PacketOptions {
	rounds: number;
	/** Packets of each measurement. */
	runs: number;
	progress(round: number): void;
	signal: AbortSignal;
}

/** `rounds` times through all paths, so that what disturbs the machine for a while disturbs all alike. */
export async function measurePackets(plane: Dataplane, options: PacketOptions): Promise<PacketReport> {
	const { rounds, runs, progress, signal } = options;
	prepare(plane);
	const samples = new Map<Path, number[]>(PATHS.map((path) => [path, []]));
	const empty = { XDP: [] as number[], TC: [] as number[] };
	const wrapper = { XDP: [] as number[], TC: [] as number[] };
	for (let round = 0; round < rounds; round++) {
		progress(round);
		for (const path of PATHS) {
			// a signal is heard of between two test runs only
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

/** Empties the connections, but for what the path needs there and does not make itself. */
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

/** Once through all flows to make or warm them, then measured; every run must have gone the way that is meant. */
function measurePath(plane: Dataplane, path: Path, runs: number, round: number): number {
	const repeat = path.flows === MANY ? Math.max(runs, MANY) : runs;
	put(plane, path, round * 4 * repeat);
	run(plane, path.program, path.dev, path.flows === 1 ? 1000 : path.flows === MANY ? MANY : repeat);
	const { result, reasons } = plane.counting(() => run(plane, path.program, path.dev, repeat));
	const seen = reasons[path.reason] ?? 0;
	// one new flow in some thousands finds no free port at its first attempts, or looks like a partial checksum
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
