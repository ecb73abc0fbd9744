/**
 * Runs one machine of the matrix (a kernel, a compiler and tiers), and prints the table of all
 * runs.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import Table from 'cli-table3';
import { hasCommand } from '../machine.ts';
import type { Outcome } from '../tiers.ts';
import { boot, type Job } from './boot.ts';
import type { Inside } from './inside.ts';

export interface MachineResult extends Inside {
	readonly clang: string;
	readonly ok: boolean;
	/** Why there is no result, or not of all tiers. */
	readonly note: string;
}

/** Factor for the time limits of tests on an emulated processor. */
const SLOWER = 10;

/**
 * Boot attempts: on an emulated processor a kernel sometimes panics when it patches its own code.
 */
const BOOTS = 3;
const NODE = 'node_modules/.bin/node';

type Wanted = Pick<Job, 'kernel' | 'accel' | 'minutes'> & { readonly clang: string };

export async function runMachine(
	project: string,
	wanted: Wanted,
	tiers: readonly string[],
	topologies: readonly string[] = [],
): Promise<MachineResult> {
	const { kernel, clang } = wanted;
	const label = `${kernel.name}-${basename(clang)}`;
	const share = join(project, '.cache/vm', `share-${label}`);
	const patience = wanted.accel === 'tcg' ? SLOWER : 1;
	const environment = {
		MAGLANE_TEST_PATIENCE: String(patience),
		MAGLANE_NETWORKS_LABEL: basename(clang),
		MAGLANE_NETWORKS: topologies.join(' '),
		// agents start three times as fast when their modules are compiled already
		NODE_COMPILE_CACHE: '/tmp/node-cache',
	};
	const settings = Object.entries(environment).map(([name, value]) => `${name}='${value}'`);
	const command = [...settings, NODE, 'scripts/vm/inside.ts', '/run/vm/results.json', ...tiers].join(' ');
	const file = join(share, 'results.json');
	const started = join(share, 'log');
	let status: number | undefined;
	for (let left = BOOTS; left > 0; left--) {
		status = await boot({ ...wanted, clang: pathOf(clang), command, share });
		if (status !== undefined || existsSync(started)) break;
		console.log(`${label} did not boot: ${relative(project, join(share, 'console'))}`);
	}
	const inside: Inside = existsSync(file)
		? (JSON.parse(readFileSync(file, 'utf8')) as Inside)
		: { kernel: kernel.version, features: {}, tiers: {} };
	const failed = Object.values(inside.tiers).some((tier) => tier.failed > 0);
	const absent = tiers.filter((tier) => !(tier in inside.tiers));
	const note = absent.length > 0 ? `no result of ${absent.join(', ')}: see ${relative(project, share)}` : '';
	const ok = status === 0 && absent.length === 0 && !failed;
	const result = { ...inside, clang, ok, note };
	keep(project, label, result, share);
	return result;
}

function pathOf(command: string): string {
	const directory = ['/usr/local/bin', '/usr/bin'].find((path) => existsSync(join(path, command)));
	if (directory === undefined || !hasCommand(command)) throw new Error(`${command} is not in /usr/bin`);
	return join(directory, command);
}

function keep(project: string, label: string, result: MachineResult, share: string): void {
	const results = join(project, '.cache/vm/results');
	mkdirSync(results, { recursive: true });
	const file = join(results, `${label}.json`);
	const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as MachineResult) : undefined;
	// keeps results of other tiers of this kernel
	const tiers = { ...(before?.kernel === result.kernel && before.tiers), ...result.tiers };
	writeFileSync(file, JSON.stringify({ ...result, tiers }));
	const networks = join(share, 'networks');
	if (existsSync(networks)) cpSync(networks, join(project, '.cache/networks'), { recursive: true });
	rmSync(networks, { recursive: true, force: true });
}

const cell = ({ passed, failed, skipped }: Outcome) =>
	[`${passed} passed`, failed > 0 ? `${failed} failed` : '', skipped > 0 ? `${skipped} skipped` : '']
		.filter((part) => part !== '')
		.join(', ');

/** The results of all machines that have run here. */
export function keptResults(project: string): MachineResult[] {
	const directory = join(project, '.cache/vm/results');
	return readdirSync(directory).map(
		(name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as MachineResult,
	);
}

export function printResults(results: readonly MachineResult[]): void {
	const tiers = [...new Set(results.flatMap((result) => Object.keys(result.tiers)))];
	const table = new Table({ head: ['kernel', 'clang', ...tiers, ''], style: { head: [], border: [] } });
	for (const result of results) {
		const cells = tiers.map((tier) => (result.tiers[tier] ? cell(result.tiers[tier]) : ''));
		table.push([result.kernel, result.clang, ...cells, result.note]);
	}
	console.log(`\n${table.toString()}`);
	for (const { kernel, clang, tiers: ran } of results)
		for (const { file, title, status } of Object.values(ran).flatMap((tier) => tier.tests))
			if (status === 'failed') console.log(`${kernel}, ${clang}: ${file}: ${title}`);
}
