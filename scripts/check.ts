/** The one gate: types, lint and format, generated files, BPF headers and objects, imports. Exit status 1 when one fails. */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findClang } from '../agent/bpf/clang.ts';
import { bpfObjects } from '../agent/bpf/compile.ts';
import { headerProblems } from './check/headers.ts';
import { importProblems } from './check/imports.ts';
import { semanticsProblems } from './check/semantics.ts';
import { wordProblems } from './check/words.ts';
import { hasCommand } from './machine.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');

/** A step's problems, one a line or block; `skipped` says why it could not look. */
interface Result {
	readonly problems: readonly string[];
	readonly skipped?: string;
}

/** A program of node_modules under the pinned Node: what it prints is the problem when it fails. */
async function tool(script: string, ...args: string[]): Promise<Result> {
	try {
		await run(process.execPath, [join(root, script), ...args], { cwd: root, maxBuffer: 1 << 26 });
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
	'import rules': () => ({ problems: importProblems(root) }),
	'words of this machine': () =>
		hasCommand('git') ? { problems: wordProblems(root) } : { problems: [], skipped: 'git is not installed' },
	'semantics page': async () => ({ problems: await semanticsProblems(root) }),
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
