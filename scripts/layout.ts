/**
 * Writes agent/abi/layout.ts from the BTF of bpf/abi.h and bpf/maps.h. With --check it only
 * compares, and exits with 1 when the committed file is stale. Needs clang.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseBtf } from '../agent/abi/btf.ts';
import { elfSection } from '../agent/abi/elf.ts';
import { findClang } from '../agent/bpf/clang.ts';
import { type LayoutSource, layoutText } from './layout-text.ts';

const root = resolve(import.meta.dirname, '..');
const target = join(root, 'agent/abi/layout.ts');

/** BTF contains only used types: declares one variable of each. */
function probe(structs: readonly string[], enums: readonly string[]): string {
	const use = (kind: string) => (name: string) => `${kind} ${name} use_${kind}_${name};`;
	return [
		'#include "abi.h"',
		'#include "maps.h"',
		...structs.map(use('struct')),
		...enums.map(use('enum')),
		'',
	].join('\n');
}

/** Compiles the probe and collects the definitions of the headers, in their order. */
export async function collect(): Promise<LayoutSource> {
	const found = await findClang();
	if (!found) throw new Error('Cannot generate the layout: clang is not in PATH; install clang 12 or later');
	const includes = [`-I${join(root, 'bpf')}`, ...found.includes];
	const header = readFileSync(join(root, 'bpf/abi.h'), 'utf8');
	const names = (pattern: RegExp) => [...header.matchAll(pattern)].map((match) => match[1]!);
	const structs = names(/^struct (\w+) \{/gm);
	const enums = names(/^enum (\w+) \{/gm);
	const macros = names(/^#define (\w+) \d+\b/gm);
	const folder = mkdtempSync(join(tmpdir(), 'maglane-layout-'));
	try {
		const source = join(folder, 'layout.c');
		writeFileSync(source, probe(structs, enums));
		const clang = (...args: string[]) =>
			execFileSync(found.command, ['-target', 'bpf', '-g', '-O2', '-Wall', '-Werror', ...includes, ...args], {
				encoding: 'utf8',
				stdio: ['ignore', 'pipe', 'inherit'],
			});
		clang('-c', source, '-o', join(folder, 'layout.o'));
		const defined = clang('-E', '-dM', source);
		const section = elfSection(readFileSync(join(folder, 'layout.o')), '.BTF');
		if (!section) throw new Error('Cannot generate the layout: clang wrote no .BTF section');
		const constants = macros.map((name): [string, number] => [
			name,
			Number(new RegExp(`^#define ${name} (\\d+)$`, 'm').exec(defined)?.[1]),
		]);
		return { btf: parseBtf(section), structs, enums, constants };
	} finally {
		rmSync(folder, { recursive: true });
	}
}

/** Lines that differ, as `-` committed and `+` expected. */
export function difference(committed: string, expected: string): string[] {
	const old = committed.split('\n');
	const fresh = expected.split('\n');
	const had = new Set(old);
	const has = new Set(fresh);
	return [
		...old.flatMap((line, i) => (has.has(line) ? [] : [`- ${i + 1}: ${line}`])),
		...fresh.flatMap((line, i) => (had.has(line) ? [] : [`+ ${i + 1}: ${line}`])),
	];
}

async function main(): Promise<void> {
	const expected = layoutText(await collect());
	const committed = existsSync(target) ? readFileSync(target, 'utf8') : '';
	if (!process.argv.includes('--check')) {
		if (expected !== committed) writeFileSync(target, expected);
		return;
	}
	if (expected === committed) return;
	const lines = difference(committed, expected);
	console.error('agent/abi/layout.ts is stale: bpf/abi.h or bpf/maps.h says otherwise. Run `make layout`.');
	for (const line of lines.length > 0 ? lines : ['(the order of lines differs)']) console.error(line);
	process.exitCode = 1;
}

if (import.meta.main) {
	await main().catch((error: unknown) => {
		console.error(error instanceof Error ? error.message : error);
		process.exitCode = 1;
	});
}
