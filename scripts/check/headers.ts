/**
 * Checks that every BPF header compiles alone, in each of its contexts, and that its include guard
 * has its name.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Clang, headerArguments } from '../../agent/bpf/clang.ts';

const run = promisify(execFile);

/** Headers for both kinds of packet program test this macro. */
const XDP = '-DMAGLANE_XDP';

/** MAGLANE_TABLE_CHUNK_H for table-chunk.h. */
export function guardOf(file: string): string {
	return `MAGLANE_${file.replace(/\.h$/, '').toUpperCase().replace(/\W/g, '_')}_H`;
}

export function guardProblem(file: string, text: string): string | undefined {
	const guard = guardOf(file);
	const guarded =
		new RegExp(`^#ifndef ${guard}\\n#define ${guard}\\n`, 'm').test(text) && /\n#endif[^\n]*\n*$/.test(text);
	return guarded ? undefined : `bpf/${file}: the include guard is not ${guard}`;
}

export async function headerProblems(root: string, clang: Clang): Promise<string[]> {
	const directory = join(root, 'bpf');
	const problems: string[] = [];
	for (const file of readdirSync(directory)
		.filter((name) => name.endsWith('.h'))
		.sort()) {
		const text = readFileSync(join(directory, file), 'utf8');
		const guard = guardProblem(file, text);
		if (guard) problems.push(guard);
		for (const macros of text.includes('MAGLANE_XDP') ? [[], [XDP]] : [[]])
			problems.push(...(await compileAlone(clang, directory, file, macros)));
	}
	return problems;
}

async function compileAlone(
	clang: Clang,
	directory: string,
	file: string,
	macros: string[],
): Promise<string[]> {
	try {
		await run(clang.command, [...macros, ...headerArguments(clang, directory, join(directory, file))]);
		return [];
	} catch (error) {
		const output = (error as { stderr?: string }).stderr ?? String(error);
		return [
			`bpf/${file} does not compile alone${macros.length > 0 ? ` with ${macros.join(' ')}` : ''}:`,
			output.trimEnd(),
		];
	}
}
