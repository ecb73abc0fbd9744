/**
 * The cheapest test of a kernel: its verifier must accept every program, with each value that the
 * agent sets.
 */
import { join } from 'node:path';
import { bpfObjects, OBJECT_NAMES } from '../../agent/bpf/compile.ts';
import type { Native } from '../../agent/bpf/ffi/library.ts';
import { type ObjectOptions, openObject } from '../../agent/bpf/load.ts';
import { type Features, featureConfig, missingHooks } from '../../agent/bpf/probe.ts';
import type { Outcome, TestResult } from '../tiers.ts';

const project = join(import.meta.dirname, '../..');
/** Constants that no probe sets and that decide which code the verifier sees. */
const SWITCHES = ['answer_echo', 'xdp_tx_by_redirect', 'host_only'];
/** Small maps: their memory is not under test. */
const ENTRIES: Readonly<Record<string, number>> = { frontends: 1024, backends: 1024, connections: 65_536 };

/**
 * One test per object and setting, loaded as by the agent. Prints refusals with the verifier's log.
 */
export async function loadTier(native: Native, features: Features, clang?: string): Promise<Outcome> {
	const { files, note } = await bpfObjects({
		sources: join(project, 'bpf'),
		cache: join(project, '.cache/bpf'),
		...(clang !== undefined && { clang }),
	});
	const begin = performance.now();
	const tests: TestResult[] = [];
	for (const on of [0, 1]) {
		const config = {
			...Object.fromEntries(SWITCHES.map((name) => [name, on])),
			...featureConfig(features),
			// any value: with 0 the verifier removes the code that compares with it
			host_netns_cookie: 1n,
		};
		const options = { config, mapEntries: ENTRIES, without: missingHooks(features) };
		for (const name of OBJECT_NAMES) {
			const title = `${name}.bpf.o of ${note}, ${SWITCHES.join(', ')} = ${on}`;
			tests.push({
				file: `bpf/${name}.bpf.c`,
				title,
				status: loads(native, files[name], options) ? 'passed' : 'failed',
			});
		}
	}
	const failed = tests.filter(({ status }) => status === 'failed').length;
	const seconds = (performance.now() - begin) / 1000;
	return { passed: tests.length - failed, failed, skipped: 0, seconds, note: '', tests };
}

function loads(native: Native, file: string, options: ObjectOptions): boolean {
	try {
		using object = openObject(native, file, options);
		object.load();
		return true;
	} catch (error) {
		console.error(`${file}: ${error instanceof Error ? error.message : error}`);
		return false;
	}
}
