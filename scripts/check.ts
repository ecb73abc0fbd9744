/**
 * All checks: types, lint and format, generated files, BPF headers and objects, imports. Exits with
 * 1 when one fails.
 */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findClang } from '../agent/bpf/clang.ts';
import { bpfObjects } from '../agent/bpf/compile.ts';
import { auditProblems } from './check/audit.ts';
import { commitProblems } from './check/commits.ts';
import { headerProblems } from './check/headers.ts';
import { importProblems } from './check/imports.ts';
import { licenceProblems } from './check/licences.ts';
import { networksProblems } from './check/networks.ts';
import { allProseProblems } from './check/prose.ts';
import { semanticsProblems } from './check/semantics.ts';
import { wordProblems } from './check/words.ts';
import { hasCommand } from './machine.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');

/** The problems of a step, one line or block each; `skipped`: why the step could not run. */
interface Result {
	readonly problems: readonly string[];
	readonly skipped?: string;
}

/** Runs a program of node_modules with the pinned Node. If it fails, its output is the problem. */
async function tool(script: string, ...args: string[]): Promise<Result> {
	return program(process.execPath, join(root, script), ...args);
}

/** The output of a program that fails is the problem. */
async function program(file: string, ...args: string[]): Promise<Result> {
	try {
		await run(file, args, { cwd: root, maxBuffer: 1 << 26 });
		return { problems: [] };
	} catch (error) {
		const {
			stdout = '',
			stderr = '',
			message,
		} = error as { stdout?: string; stderr?: string; message: string };
		return { problems: [`${stdout}${stderr}`.trim() || message] };
	}
}

/** Runs a step if the command that it needs is installed. */
const withCommand = async (name: string, step: () => Result | Promise<Result>): Promise<Result> =>
	hasCommand(name) ? step() : { problems: [], skipped: `${name} is not installed` };

function cFormat(): Promise<Result> {
	const files = readdirSync(join(root, 'bpf')).filter((name) => /\.[ch]$/.test(name));
	return program('clang-format', '--dry-run', '-Werror', ...files.map((name) => `bpf/${name}`));
}

const clang = await findClang();
const withClang = async (step: (found: NonNullable<typeof clang>) => Promise<Result>): Promise<Result> =>
	clang ? step(clang) : { problems: [], skipped: 'clang is not installed' };

const STEPS: Readonly<Record<string, () => Result | Promise<Result>>> = {
	types: () => tool('node_modules/typescript/bin/tsc', '-p', '.'),
	'lint and format': () =>
		tool(
			'node_modules/@biomejs/biome/bin/biome',
			'check',
			'--error-on-warnings',
			'--max-diagnostics=100',
			'.',
		),
	'C format': () => withCommand('clang-format', cFormat),
	'import rules': () => ({ problems: importProblems(root) }),
	'words of this machine': () => withCommand('git', () => ({ problems: wordProblems(root) })),
	prose: () => withCommand('git', () => ({ problems: allProseProblems(root) })),
	'commit subjects': () => withCommand('git', () => commitProblems(root)),
	licences: () => ({ problems: licenceProblems(root) }),
	'known vulnerabilities': () => withCommand('npm', () => auditProblems(root)),
	'semantics page': async () => ({ problems: await semanticsProblems(root) }),
	'networks page': () => ({ problems: networksProblems(root) }),
	'generated layout': () => withClang(() => tool('scripts/layout.ts', '--check')),
	'BPF headers alone': () => withClang(async (found) => ({ problems: await headerProblems(root, found) })),
	'BPF objects': () =>
		withClang(async () => {
			await bpfObjects({ sources: join(root, 'bpf'), cache: join(root, '.cache/bpf') });
			return { problems: [] };
		}),
};

let failed = 0;
for (const [name, step] of Object.entries(STEPS)) {
	const begin = performance.now();
	const { problems, skipped } = await new Promise<Result>((done) => done(step())).catch(
		(error: unknown): Result => ({ problems: [error instanceof Error ? error.message : String(error)] }),
	);
	const seconds = ((performance.now() - begin) / 1000).toFixed(1);
	const verdict = skipped ? `skipped: ${skipped}` : problems.length > 0 ? 'FAILED' : 'ok';
	console.log(`${name.padEnd(24)}${verdict}  (${seconds} s)`);
	for (const problem of problems) console.log(problem);
	if (problems.length > 0) failed += 1;
}
console.log(failed > 0 ? `${failed} of ${Object.keys(STEPS).length} steps failed` : 'all steps passed');
process.exitCode = failed > 0 ? 1 : 0;
