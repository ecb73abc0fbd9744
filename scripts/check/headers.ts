/**
 * Checks the sources of the programs: every header compiles alone, in each of its contexts, its
 * include guard has its name, it has no other conditions, and functions are short.
 */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Clang, headerArguments } from '../../agent/bpf/clang.ts';

const run = promisify(execFile);

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

/** XDP, TC and the link layers differ in headers that an include selects, not by conditions. */
export function conditionProblem(file: string, text: string): string | undefined {
	const conditions = text.match(/^#(if|ifdef|elif|else)\b.*$|^#ifndef (?!MAGLANE_\w+_H$).*$/gm);
	return conditions
		? `bpf/${file}: ${conditions[0]}; put both variants into headers that MAGLANE_HOOK, MAGLANE_LINK or MAGLANE_FORWARD selects`
		: undefined;
}

/** Lines of the longest function of the packet path. */
const FUNCTION_LINES = 60;

/** @param text C as clang-format lays it out: a function's braces begin their lines */
export function lengthProblems(file: string, text: string): string[] {
	return [...text.matchAll(/(\w+)\([^{}();]*\)\n\{\n(?:[^}\n].*\n|\n)*\}\n/g)].flatMap(([body, name]) => {
		const lines = body.split('\n').length - 1;
		return lines > FUNCTION_LINES
			? [`bpf/${file}: ${name}() has ${lines} lines; split it (at most ${FUNCTION_LINES})`]
			: [];
	});
}

/** The headers that a program includes, and the macros by which it selects some of them. */
export interface Context {
	readonly macros: ReadonlyMap<string, string>;
	readonly headers: ReadonlySet<string>;
}

/** @param read the text of a file below bpf/ */
export function contextOf(entry: string, read: (file: string) => string): Context {
	const macros = new Map<string, string>();
	const headers = new Set<string>();
	const include = (file: string): void => {
		for (const [, macro, value, quoted, named] of read(file).matchAll(
			/^#define (MAGLANE_\w+) "([^"]+)"$|^#include "([^"]+)"$|^#include (MAGLANE_\w+)$/gm,
		)) {
			if (macro && !macros.has(macro)) macros.set(macro, value!);
			const next = quoted ?? (named ? macros.get(named) : undefined);
			if (named && !next) throw new Error(`bpf/${file}: no program that includes it defines ${named}`);
			if (!next || headers.has(next)) continue;
			if (next.endsWith('.h')) headers.add(next);
			include(next);
		}
	};
	include(entry);
	return { macros, headers };
}

export async function headerProblems(root: string, clang: Clang): Promise<string[]> {
	const directory = join(root, 'bpf');
	const read = (file: string) => readFileSync(join(directory, file), 'utf8');
	const files = readdirSync(directory).sort();
	const contexts = files.filter((name) => name.endsWith('.bpf.c')).map((name) => contextOf(name, read));
	const problems = files
		.filter((name) => /\.[ch]$/.test(name))
		.flatMap((file) => lengthProblems(file, read(file)));
	for (const file of files.filter((name) => name.endsWith('.h'))) {
		problems.push(...[guardProblem, conditionProblem].flatMap((check) => check(file, read(file)) ?? []));
		const own = contexts.filter(({ headers }) => headers.has(file));
		if (own.length === 0) problems.push(`bpf/${file}: no program includes it; delete it`);
		const flags = own.map(({ macros }) => [...macros].map(([name, value]) => `-D${name}="${value}"`));
		for (const macros of new Map(flags.map((list) => [list.join(' '), list])).values())
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
