/** The compilers of the matrix: the oldest that compiles the programs, and the newest package. */
import { join } from 'node:path';
import { bpfObjects } from '../../agent/bpf/compile.ts';
import { hasCommand } from '../machine.ts';

const OLDEST = 14;
const NEWEST_TO_LOOK_FOR = 40;

/**
 * The requested compilers, or the oldest and the newest installed one. @throws Error if one is
 * missing
 */
export async function compilers(asked: readonly string[]): Promise<string[]> {
	const wanted = asked.length > 0 ? [...asked] : installedCompilers();
	const absent = wanted.filter((name) => !hasCommand(name));
	if (absent.length > 0)
		throw new Error(`--clangs: no command is called ${absent.join(', ')}. Write clang-14, and install it`);
	if (wanted.length === 0) throw new Error('no clang-<number> is installed: apt-get install clang-14');
	return wanted;
}

/** The oldest and the newest installed compiler with a number in its name. */
export function installedCompilers(): string[] {
	const versions = Array.from({ length: NEWEST_TO_LOOK_FOR - OLDEST + 1 }, (_, i) => OLDEST + i);
	const there = versions.map((version) => `clang-${version}`).filter(hasCommand);
	const newest = there.at(-1);
	return [...new Set([...there.slice(0, 1), ...(newest ? [newest] : [])])];
}

/** Compiles the objects here, much faster than in the machines, which find them in the cache. */
export async function prepareObjects(project: string, clang: string): Promise<void> {
	await bpfObjects({ sources: join(project, 'bpf'), cache: join(project, '.cache/bpf'), clang });
}
