/** Builds the clients in other languages, once: later calls find them in .cache/clients. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** A build that hangs, for example without a network, ends after this time. */
const LIMIT_MS = 240_000;
const here = resolve(import.meta.dirname, '..');
const cache = resolve(here, '../../.cache/clients');
const requirements = join(here, 'python/requirements.txt');
const goSources = join(here, 'go');

/** @returns why a build does not work on this machine, if so. */
export function reasonAgainst(build: () => unknown): string | undefined {
	try {
		build();
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

/** A Python with the pinned client. @returns the program. @throws Error that says what this machine lacks. */
export function buildPython(): string {
	const directory = built('python', [requirements], (target) => {
		run('python3', ['-m', 'venv', target]);
		const quiet = ['--quiet', '--disable-pip-version-check', '--no-input'];
		run(join(target, 'bin/python'), ['-m', 'pip', 'install', ...quiet, '-r', requirements]);
	});
	return join(directory, 'bin/python');
}

/** @returns the program made of test/clients/go. @throws Error that says what this machine lacks. */
export function buildGo(): string {
	const files = ['go.mod', 'go.sum', 'main.go'].map((name) => join(goSources, name));
	return built('go', files, (target) => run('go', ['build', '-o', target, '.'], goSources));
}

/**
 * Calls build unless an earlier call has, for the same inputs. What fails leaves nothing that looks built.
 * @returns where the result is.
 */
function built(name: string, inputs: readonly string[], build: (target: string) => void): string {
	const hash = createHash('sha256');
	for (const input of inputs) hash.update(readFileSync(input));
	const result = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
	if (existsSync(result)) return result;
	const target = `${result}.${process.pid}`;
	mkdirSync(cache, { recursive: true });
	console.log(`clients: building ${name}, once`);
	try {
		build(target);
		renameSync(target, result);
	} catch (error) {
		// another run may have been faster
		if (!existsSync(result)) throw error;
	} finally {
		rmSync(target, { recursive: true, force: true });
	}
	return result;
}

function run(program: string, args: readonly string[], cwd = here): void {
	const { status, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: LIMIT_MS });
	if (status === 0) return;
	const lines = (error?.message ?? stderr).trim().split('\n');
	throw new Error(`${program} ${args.slice(0, 3).join(' ')}: ${lines.at(-1) ?? `status ${status}`}`);
}
