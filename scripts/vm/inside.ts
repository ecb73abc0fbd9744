/**
 * Runs tiers in the VM and writes the result of each test: scripts/vm/inside.ts FILE [tier...].
 * Besides the tiers of tests there is `load`. It writes the file after each tier, so that a VM that
 * ends early leaves partial results.
 */
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Feature } from '../../agent/bpf/feature.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { probe } from '../../agent/bpf/probe.ts';
import { chosenTiers, type Outcome, runTier } from '../tiers.ts';
import { loadTier } from './load.ts';

/** The results from a VM. */
export interface Inside {
	/** uname -r. */
	readonly kernel: string;
	/** Result of the agent's probe. */
	readonly features: Readonly<Record<string, Feature>>;
	readonly tiers: Readonly<Record<string, Outcome>>;
}

/**
 * One process for all files of a tier: on an emulated processor, starting processes takes most of
 * the time.
 */
const ONE_PROCESS = ['--no-isolate'];
/** Prints each test as it ends: a file may take half an hour. */
const EACH_TEST = ['--reporter=verbose'];

async function main([file, ...names]: readonly string[]): Promise<void> {
	if (file === undefined) throw new TypeError('usage: scripts/vm/inside.ts FILE [tier...]');
	const native = openNative('koffi');
	const features = probe(native, '/sys/fs/bpf');
	const tiers: Record<string, Outcome> = {};
	const tests = names.filter((name) => name !== 'load');
	for (const tier of [
		...(tests.length < names.length ? ['load'] : []),
		...(tests.length > 0 ? chosenTiers(tests) : []),
	]) {
		tiers[tier] =
			tier === 'load'
				? await loadTier(native, features)
				: await runTier(tier, [...ONE_PROCESS, ...EACH_TEST]);
		const { fib, ...rest } = features;
		const all: Inside = { kernel: release(), features: { ...rest, ...fib }, tiers };
		writeFileSync(file, JSON.stringify(all));
	}
}

if (import.meta.main) await main(process.argv.slice(2));
