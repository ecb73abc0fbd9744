import { describe, expect, it } from 'vitest';
import {
	conditionProblem,
	contextOf,
	guardOf,
	guardProblem,
	lengthProblems,
} from '../../scripts/check/headers.ts';
import { importCycles, importProblem, importsOf } from '../../scripts/check/imports.ts';
import { forbidden } from '../../scripts/check/words.ts';

describe('importsOf()', () => {
	it('finds imports, re-exports and import() with their lines, and tells types', () => {
		const text = [
			"import { a } from './a.ts';",
			"import type { B } from './b.ts';",
			'import {',
			'	c,',
			"} from './c.ts';",
			"import './d.ts';",
			"export { e } from './e.ts';",
			"const f = await import('./f.ts');",
			"const text = 'from'; export const g = 1;",
		].join('\n');
		expect(importsOf(text)).toEqual([
			{ line: 1, specifier: './a.ts', typeOnly: false },
			{ line: 2, specifier: './b.ts', typeOnly: true },
			{ line: 5, specifier: './c.ts', typeOnly: false },
			{ line: 6, specifier: './d.ts', typeOnly: false },
			{ line: 7, specifier: './e.ts', typeOnly: false },
			{ line: 8, specifier: './f.ts', typeOnly: false },
		]);
	});
});

describe('importProblem()', () => {
	const problem = (file: string, specifier: string, typeOnly = false) =>
		importProblem(file, { line: 1, specifier, typeOnly });

	it.each([
		['agent/model/translate.ts', './types.ts'],
		['agent/plan/diff.ts', '../abi/layout.ts'],
		['agent/bpf/dataplane.ts', '../abi/layout.ts'],
		['agent/bpf/dataplane.ts', 'node:fs'],
		['agent/bpf/ffi/koffi.ts', 'koffi'],
		['agent/kube/kubeconfig.ts', '@kubernetes/client-node'],
		['standalone/net/topology.ts', '../../agent/bpf/netns.ts'],
		['agent/compose/start.ts', '../bpf/dataplane.ts'],
		['agent/cli/agent.ts', '../config.ts'],
	])('lets %s import %s', (file, specifier) => {
		expect(problem(file, specifier)).toBeUndefined();
	});

	it.each([
		['agent/model/policy.ts', 'node:fs', /pure/],
		['agent/model/policy.ts', '../loop/store.ts', /agent\/model may not import agent\/loop\/store.ts/],
		['agent/plan/apply.ts', '../bpf/kernel-map.ts', /may not import/],
		['agent/plan/apply.ts', '../bpf/port.ts', /types only/],
		['agent/maglev/table.ts', 'pino', /pure/],
		['standalone/node/x.ts', 'koffi', /only agent\/bpf\/ffi may import koffi/],
		['agent/compose/start.ts', '@kubernetes/client-node/dist/config.js', /only agent\/kube may/],
		['agent/compose/start.ts', 'left-pad', /agent\/compose may not import left-pad/],
		['agent/kube/source.ts', '../bpf/error.ts', /may not import/],
		['agent/loop/reconcile.ts', '../compose/agent.ts', /may not import/],
		['standalone/node/x.ts', '../../agent/http/server.ts', /may not import/],
		['standalone/net/x.ts', '../../agent/bpf/dataplane.ts', /may not import/],
		['agent/bpf/dataplane.ts', '../config.ts', /may not import/],
		['agent/attic/x.ts', './y.ts', /not among the rooms/],
	])('keeps %s from %s', (file, specifier, why) => {
		expect(problem(file, specifier)).toMatch(why);
	});

	it('lets the core name the types of a port', () => {
		expect(problem('agent/plan/apply.ts', '../bpf/port.ts', true)).toBeUndefined();
	});
});

describe('importCycles()', () => {
	const cycles = (graph: Record<string, string[]>) => importCycles(new Map(Object.entries(graph)));

	it('finds none where all lead down', () => {
		expect(cycles({ a: ['b', 'c'], b: ['d'], c: ['d', 'b'], d: [] })).toEqual([]);
	});

	it.each<[string, Record<string, string[]>, string[][]]>([
		['of itself', { a: ['a'] }, [['a']]],
		['of two', { c: ['a'], a: ['b'], b: ['a', 'd'] }, [['a', 'b']]],
		['of three behind a chain', { z: ['a'], a: ['b'], b: ['c'], c: ['a'] }, [['a', 'b', 'c']]],
		[
			'that are two',
			{ a: ['b'], b: ['a', 'c'], c: ['d'], d: ['c'] },
			[
				['a', 'b'],
				['c', 'd'],
			],
		],
	])('names the modules of a circle %s', (_, graph, expected) => {
		expect(cycles(graph)).toEqual(expected);
	});
});

describe('guardProblem()', () => {
	it('wants the guard that the file name says, around all', () => {
		expect(guardOf('table-chunk.h')).toBe('MAGLANE_TABLE_CHUNK_H');
		const good = '/* x */\n#ifndef MAGLANE_CSUM_H\n#define MAGLANE_CSUM_H\nint a;\n#endif\n';
		expect(guardProblem('csum.h', good)).toBeUndefined();
		expect(guardProblem('conn.h', good)).toBe('bpf/conn.h: the include guard is not MAGLANE_CONN_H');
		expect(guardProblem('csum.h', good.replace('#endif\n', ''))).toBeDefined();
	});
});

describe('conditionProblem()', () => {
	const header = (line: string) => `#ifndef MAGLANE_CSUM_H\n#define MAGLANE_CSUM_H\n${line}\n#endif\n`;

	it.each(['#ifdef MAGLANE_XDP', '#ifndef MAGLANE_XDP', '#if defined(X)', '#else'])('refuses %s', (line) => {
		expect(conditionProblem('csum.h', header(line))).toContain(`bpf/csum.h: ${line}; put both variants`);
	});

	it('lets the guard be', () => {
		expect(conditionProblem('csum.h', header('int a;'))).toBeUndefined();
	});
});

describe('lengthProblems()', () => {
	const text = (lines: number) =>
		`int a;\n\nstatic int f(int a,\n\t\t int b)\n{\n${'\ta++;\n'.repeat(lines - 4)}}\n`;

	it('counts the lines of a body with its braces', () => {
		expect(lengthProblems('conn.h', text(60))).toEqual([]);
		expect(lengthProblems('conn.h', text(61))).toEqual([
			'bpf/conn.h: f() has 61 lines; split it (at most 60)',
		]);
	});
});

describe('contextOf()', () => {
	const files: Record<string, string> = {
		'l3.bpf.c': '#define MAGLANE_LINK "none.h"\n#include "tc.bpf.c"\n',
		'tc.bpf.c':
			'#ifndef MAGLANE_LINK\n#define MAGLANE_LINK "ethernet.h"\n#endif\n#include <linux/bpf.h>\n#include "a.h"\n',
		'a.h': '#include "b.h"\n#include MAGLANE_LINK\n',
		'b.h': '#include "a.h"\n',
		'ethernet.h': '',
		'none.h': '',
	};

	it('follows includes, and takes the first value of a macro', () => {
		const context = (entry: string) => contextOf(entry, (file) => files[file]!);
		expect([...context('tc.bpf.c').headers]).toEqual(['a.h', 'b.h', 'ethernet.h']);
		expect([...context('l3.bpf.c').headers]).toEqual(['a.h', 'b.h', 'none.h']);
		expect([...context('l3.bpf.c').macros]).toEqual([['MAGLANE_LINK', 'none.h']]);
		expect(() => context('a.h')).toThrow('bpf/a.h: no program that includes it defines MAGLANE_LINK');
	});
});

describe('forbidden()', () => {
	const named = (text: string, root: string, home = '/root', registry?: string) =>
		forbidden(root, home, registry)
			.filter(([word]) => word.test(text))
			.map(([, name]) => name);

	it('finds the work tree, a home and a registry of its own', () => {
		expect(named('cd /srv/build/tree/x', '/srv/build/tree')).toEqual(['the path of this work tree']);
		expect(named('/home/ann/.npmrc', '/srv/build/tree', '/home/ann')).toEqual(['a home directory']);
		expect(named('https://npm.example.test/x', '/srv/a', '/root', 'npm.example.test')).toHaveLength(1);
	});

	it.each([
		['/srv/build/treetop', '/srv/build/tree'],
		['WORKDIR /app', '/app'],
		['npmXexampleYtest', '/srv/a'],
	])('takes no other text for it: %s', (text, root) => {
		expect(named(text, root, '/root', 'npm.example.test')).toEqual([]);
	});
});
