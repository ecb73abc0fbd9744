/**
 * Runs the tests tier by tier and says how many ran in each, how long they took, and why a tier was left out:
 * scripts/test.ts [tier...]. Exit status 1 when a test failed.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import Table from 'cli-table3';
import { bpf, cgroup2, command, type Need, root } from './machine.ts';

const project = resolve(import.meta.dirname, '..');
const vitest = join(project, 'node_modules/vitest/vitest.mjs');

const kernel: readonly Need[] = [root, bpf, command('clang')];
const namespaces: readonly Need[] = [...kernel, cgroup2, command('ip'), command('nsenter')];

/** In the order of running: the cheapest first. */
const TIERS: Readonly<Record<string, readonly Need[]>> = {
	unit: [],
	golden: [],
	bpf: namespaces,
	packet: kernel,
	netns: namespaces,
	e2e: [...namespaces, command('kubectl')],
};

/** The default loader writes beside the configuration, which may be another user's. */
const LOADER = ['--configLoader', 'runner'];

interface Outcome {
	readonly passed: number;
	readonly failed: number;
	readonly skipped: number;
	readonly seconds: number;
	readonly note: string;
}

/** What of vitest's JSON report is read. */
interface Report {
	readonly numPassedTests: number;
	readonly numFailedTests: number;
	readonly numPendingTests: number;
	readonly numTodoTests: number;
	readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly unknown[] }[];
}

function run(args: readonly string[], output: 'inherit' | 'pipe'): Promise<{ code: number; stdout: string }> {
	return new Promise((done, fail) => {
		const child = spawn(process.execPath, [vitest, ...args, ...LOADER], {
			cwd: project,
			stdio: ['ignore', output, output === 'pipe' ? 'ignore' : 'inherit'],
		});
		let stdout = '';
		child.stdout?.on('data', (chunk) => {
			stdout += chunk;
		});
		child.on('error', fail);
		child.on('close', (code) => done({ code: code ?? 1, stdout }));
	});
}

/** Tests of a tier that cannot run: counted from the source, where test.each counts once. */
async function leftOut(tier: string, note: string): Promise<Outcome> {
	const { stdout } = await run(['list', '--project', tier, '--static-parse', '--json'], 'pipe');
	const start = stdout.indexOf('[');
	const skipped = start < 0 ? 0 : (JSON.parse(stdout.slice(start)) as unknown[]).length;
	return { passed: 0, failed: 0, skipped, seconds: 0, note: `left out: ${note}` };
}

async function runTier(tier: string): Promise<Outcome> {
	const folder = mkdtempSync(join(tmpdir(), 'maglane-test-'));
	const file = join(folder, 'report.json');
	const begin = performance.now();
	try {
		const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
		const { code } = await run(['run', '--project', tier, '--passWithNoTests', ...reporters], 'inherit');
		const seconds = (performance.now() - begin) / 1000;
		return { ...outcome(code, existsSync(file) ? readFileSync(file, 'utf8') : undefined), seconds };
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** A file that did not load, and an error outside of any test, count as one failure each. */
function outcome(code: number, text: string | undefined): Omit<Outcome, 'seconds'> {
	if (text === undefined)
		return { passed: 0, failed: code ? 1 : 0, skipped: 0, note: code ? 'no report' : '' };
	const report = JSON.parse(text) as Report;
	const unloaded = report.testResults.filter((f) => f.status === 'failed' && f.assertionResults.length === 0);
	const failed = report.numFailedTests + unloaded.length;
	const skipped = report.numPendingTests + report.numTodoTests;
	const outside = failed === 0 && code !== 0;
	return {
		passed: report.numPassedTests,
		failed: failed + (outside ? 1 : 0),
		skipped,
		note: outside ? 'an error outside of the tests' : '',
	};
}

function print(outcomes: ReadonlyMap<string, Outcome>): void {
	const table = new Table({
		head: ['tier', 'passed', 'failed', 'skipped', 'seconds', ''],
		style: { head: [], border: [] },
		colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
	});
	for (const [tier, { passed, failed, skipped, seconds, note }] of outcomes)
		table.push([tier, passed, failed, skipped, seconds.toFixed(1), note]);
	console.log(`\n${table.toString()}`);
}

function chosenTiers(): string[] {
	const names = process.argv.slice(2);
	const unknown = names.filter((name) => !(name in TIERS));
	if (unknown.length === 0) return names.length > 0 ? names : Object.keys(TIERS);
	console.error(`Unknown tier: ${unknown.join(', ')}; the tiers are ${Object.keys(TIERS).join(', ')}`);
	process.exit(2);
}

const outcomes = new Map<string, Outcome>();
for (const tier of chosenTiers()) {
	const reason = TIERS[tier]!.map((need) => need()).find((why) => why !== undefined);
	if (reason !== undefined) console.log(`\n${tier}: left out: ${reason}`);
	outcomes.set(tier, reason === undefined ? await runTier(tier) : await leftOut(tier, reason));
}
print(outcomes);
const sum = (field: 'passed' | 'failed' | 'skipped') =>
	[...outcomes.values()].reduce((total, outcome) => total + outcome[field], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') > 0 ? 1 : 0;
