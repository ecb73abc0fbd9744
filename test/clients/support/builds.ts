/** Builds the clients in other languages once. Later calls find them in .cache/clients. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Time limit for a build that hangs, for example without a network. */
const LIMIT_MS = 240_000;
const here = resolve(import.meta.dirname, '..');
const cache = resolve(here, '../../.cache/clients');
const requirements = join(here, 'python/requirements.txt');
const goSources = join(here, 'go');

/** @returns the reason why a build fails on this machine, undefined if it works */
export function reasonAgainst(build: () => unknown): string | undefined {
	try {
		build();
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

/**
 * Installs the pinned Python client.
 * @returns the program
 * @throws Error that names the missing dependency of this machine
 */
export function buildPython(): string {
	const directory = built('python', [requirements], (target) => {
		run('python3', ['-m', 'venv', target]);
		const quiet = ['--quiet', '--disable-pip-version-check', '--no-input'];
		run(join(target, 'bin/python'), ['-m', 'pip', 'install', ...quiet, '-r', requirements]);
	});
	return join(directory, 'bin/python');
}

/**
 * @returns the program built from test/clients/go
 * @throws Error that names the missing dependency of this machine
 */
export function buildGo(): string {
	const files = ['go.mod', 'go.sum', 'main.go'].map((name) => join(goSources, name));
	return built('go', files, (target) => run('go', ['build', '-o', target, '.'], goSources));
}

/**
 * Calls build unless the cache has a result for the same inputs. A failed build leaves no result.
 * @returns the path of the result
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
		// another run may have finished the same build first
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
