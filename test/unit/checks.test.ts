import { describe, expect, it } from 'vitest';
import { guardOf, guardProblem } from '../../scripts/check/headers.ts';
import { importProblem, importsOf } from '../../scripts/check/imports.ts';
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
		['model/translate.ts', './types.ts'],
		['plan/diff.ts', '../abi/layout.ts'],
		['model/ip.ts', 'ipaddr.js'],
		['bpf/dataplane.ts', '../abi/layout.ts'],
		['bpf/ffi/koffi.ts', 'koffi'],
		['kube/kubeconfig.ts', '@kubernetes/client-node'],
		['standalone/net/topology.ts', '../../bpf/netns.ts'],
		['start.ts', './bpf/dataplane.ts'],
		['cli/agent.ts', '../config.ts'],
	])('lets %s import %s', (file, specifier) => {
		expect(problem(file, specifier)).toBeUndefined();
	});

	it.each([
		['model/store.ts', 'node:fs', /pure/],
		['plan/apply.ts', '../bpf/kernel-map.ts', /pure/],
		['plan/apply.ts', '../bpf/port.ts', /pure/],
		['maglev/table.ts', 'pino', /pure/],
		['standalone/node/x.ts', 'koffi', /only agent\/bpf/],
		['start.ts', '@kubernetes/client-node/dist/config.js', /only agent\/kube/],
		['kube/source.ts', '../bpf/error.ts', /edges do not import each other/],
		['standalone/dns/x.ts', '../../http/server.ts', /edges do not import each other/],
		['bpf/dataplane.ts', '../config.ts', /given what it needs/],
	])('keeps %s from %s', (file, specifier, why) => {
		expect(problem(file, specifier)).toMatch(why);
	});

	it('lets the core name the types of a port', () => {
		expect(problem('plan/apply.ts', '../bpf/port.ts', true)).toBeUndefined();
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
