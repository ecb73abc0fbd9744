/** The tiers of tests: their requirements, and a runner that reports their results. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { bpf, cgroup2, command, type Need, root } from './machine.ts';

const project = resolve(import.meta.dirname, '..');
const vitest = join(project, 'node_modules/vitest/vitest.mjs');

const kernel: readonly Need[] = [root, bpf, command('clang')];
const namespaces: readonly Need[] = [...kernel, cgroup2, command('ip'), command('nsenter')];

/** In running order: the cheapest first. */
const TIERS: Readonly<Record<string, readonly Need[]>> = {
	unit: [],
	golden: [],
	bpf: namespaces,
	packet: kernel,
	netns: namespaces,
	networks: [...namespaces, command('ethtool'), command('bridge')],
	clients: [command('kubectl')],
	e2e: [...namespaces, command('kubectl'), command('dig'), command('curl')],
};

/** The default loader writes beside the configuration, where another user may own the directory. */
const LOADER = ['--configLoader', 'runner'];

/** A test: its file, relative to the project, and its title after those of the groups around it. */
export interface Title {
	readonly file: string;
	readonly title: string;
}

export interface TestResult extends Title {
	readonly status: 'passed' | 'failed' | 'skipped';
	/** The first lines of the failures' messages. */
	readonly failures?: readonly string[];
}

export interface Outcome {
	readonly passed: number;
	readonly failed: number;
	readonly skipped: number;
	readonly seconds: number;
	readonly note: string;
	/** A file that did not load is one failed test without a title. */
	readonly tests: readonly TestResult[];
}

/** The fields of vitest's JSON report that are read. */
interface Report {
	readonly testResults: readonly {
		readonly name: string;
		readonly status: string;
		readonly assertionResults: readonly {
			readonly ancestorTitles: readonly string[];
			readonly title: string;
			readonly status: string;
			readonly failureMessages: readonly string[];
		}[];
	}[];
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

/**
 * The tests of a tier, or of all, as in their source: a test.each is one test, with its
 * placeholders.
 */
export async function listTests(tier?: string): Promise<Title[]> {
	const chosen = tier === undefined ? [] : ['--project', tier];
	const { stdout } = await run(['list', ...chosen, '--static-parse', '--json'], 'pipe');
	const start = stdout.indexOf('[');
	if (start < 0) return [];
	const tests = JSON.parse(stdout.slice(start)) as { name: string; file: string }[];
	return tests.map(({ name, file }) => ({ file: relative(project, file), title: name }));
}

/** Runs a tier, or prints why this machine cannot. @param more arguments for vitest */
export async function runTier(tier: string, more: readonly string[] = []): Promise<Outcome> {
	const reason = TIERS[tier]!.map((need) => need()).find((why) => why !== undefined);
	// mounts bpffs for the tests: a mount of their own would stay, since their processes are killed
	if (root() === undefined) bpf();
	if (reason === undefined) return runTests(tier, more);
	console.log(`\n${tier}: left out: ${reason}`);
	const tests = (await listTests(tier)).map((test) => ({ ...test, status: 'skipped' as const }));
	return { passed: 0, failed: 0, skipped: tests.length, seconds: 0, note: `left out: ${reason}`, tests };
}

async function runTests(tier: string, more: readonly string[]): Promise<Outcome> {
	const folder = mkdtempSync(join(tmpdir(), 'maglane-test-'));
	const file = join(folder, 'report.json');
	const begin = performance.now();
	try {
		const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
		const { code } = await run(
			['run', '--project', tier, '--passWithNoTests', ...reporters, ...more],
			'inherit',
		);
		const seconds = (performance.now() - begin) / 1000;
		return { ...outcome(code, existsSync(file) ? readFileSync(file, 'utf8') : undefined), seconds };
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** A file that did not load, and an error outside of any test, count as one failure each. */
function outcome(code: number, text: string | undefined): Omit<Outcome, 'seconds'> {
	if (text === undefined)
		return { passed: 0, failed: code ? 1 : 0, skipped: 0, note: code ? 'no report' : '', tests: [] };
	const tests = results(JSON.parse(text) as Report);
	const count = (status: TestResult['status']) => tests.filter((test) => test.status === status).length;
	const outside = count('failed') === 0 && code !== 0;
	return {
		passed: count('passed'),
		failed: count('failed') + (outside ? 1 : 0),
		skipped: count('skipped'),
		note: outside ? 'an error outside of the tests' : '',
		tests,
	};
}

function results(report: Report): TestResult[] {
	return report.testResults.flatMap(({ name, status, assertionResults }) => {
		const file = relative(project, name);
		if (status === 'failed' && assertionResults.length === 0) return [{ file, title: '', status }];
		return assertionResults.map((test) => ({
			file,
			title: [...test.ancestorTitles, test.title].join(' > '),
			status: test.status === 'passed' || test.status === 'failed' ? test.status : ('skipped' as const),
			...(test.failureMessages.length > 0 && { failures: test.failureMessages.map(firstLine) }),
		}));
	});
}

const firstLine = (text: string) => text.split('\n', 1)[0]!;

/** The named tiers, or all; exits with a message if a name is unknown. */
export function chosenTiers(names: readonly string[]): string[] {
	const unknown = names.filter((name) => !(name in TIERS));
	if (unknown.length === 0) return names.length > 0 ? [...names] : Object.keys(TIERS);
	console.error(`Unknown tier: ${unknown.join(', ')}; the tiers are ${Object.keys(TIERS).join(', ')}`);
	process.exit(2);
}
