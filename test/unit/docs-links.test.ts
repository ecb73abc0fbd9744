import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { CliContext } from '../../agent/cli/context.ts';
import { buildProgram } from '../../agent/cli/program.ts';
import { SETTINGS } from '../../agent/config.ts';
import { dnsMetrics } from '../../agent/dns/metrics.ts';
import { createMetrics, type MetricSources } from '../../agent/http/metrics.ts';
import { registerStandalone } from '../../standalone/cli.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const markdown = (folder: string): string[] =>
	readdirSync(join(root, folder))
		.filter((name) => name.endsWith('.md'))
		.map((name) => join(folder, name));

/** Pages of the root and of docs. */
const PAGES = [...markdown('.'), ...markdown('docs')].sort();
const FENCE = /^(```|~~~)[^\n]*\n([\s\S]*?)^\1/gm;
const SPAN = /`([^`\n]+)`/g;

const withoutFences = (text: string): string => text.replaceAll(FENCE, '');

/** The anchors that GitHub gives to a page's headings, and those that the page sets itself. */
function anchorsOf(text: string): Set<string> {
	const prose = withoutFences(text);
	const anchors = new Set([...prose.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id!));
	const seen = new Map<string, number>();
	for (const [, title] of prose.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
		const plain = title!.replaceAll(/<[^>]+>/g, '').replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1');
		const slug = plain
			.trim()
			.toLowerCase()
			.replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, '')
			.replaceAll(' ', '-');
		const count = seen.get(slug) ?? 0;
		seen.set(slug, count + 1);
		anchors.add(count === 0 ? slug : `${slug}-${count}`);
	}
	return anchors;
}

/** Targets of the links within this repository. */
function linksOf(text: string): string[] {
	const prose = withoutFences(text).replaceAll(SPAN, (code) => 'x'.repeat(code.length));
	return [...prose.matchAll(/\]\(<?([^)>\s]+)>?(?: "[^"]*")?\)/g)]
		.map(([, target]) => target!)
		.filter((target) => !/^[a-z][a-z+.-]*:/i.test(target));
}

/** @returns why a link leads nowhere; undefined: it resolves */
function deadLink(page: string, target: string): string | undefined {
	const [path = '', anchor] = target.split('#');
	const file = path === '' ? page : join(dirname(page), decodeURIComponent(path));
	if (file.startsWith('..')) return `${page}: ${target} leaves the repository`;
	if (!existsSync(join(root, file))) return `${page}: there is no ${file}`;
	if (anchor === undefined) return undefined;
	return anchorsOf(read(file)).has(anchor) ? undefined : `${page}: ${file} has no heading #${anchor}`;
}

/** The command lines in blocks and spans of code, one command each, in words. */
function commandsOf(text: string): string[][] {
	const blocks = [...text.matchAll(FENCE)].flatMap(([, , block]) => block!.split('\n'));
	const spans = [...withoutFences(text).matchAll(SPAN)].map(([, span]) => span!);
	return [...blocks, ...spans].flatMap((line) =>
		line
			.replace(/^\$ /, '')
			.replaceAll(/"[^"]*"|'[^']*'/g, 'x')
			.split(/\s(?:--|&&|\|\||\||;|#|>)\s/)
			.map((command) => command.trim().split(/\s+/)),
	);
}

const commandLines = PAGES.flatMap((page) => commandsOf(read(page)).map((words) => ({ page, words })));

function makeProblem(makefile: string, words: readonly string[]): string | undefined {
	for (const word of words) {
		const [name, value] = word.split('=');
		if (value !== undefined) {
			if (!makefile.includes(`$(${name})`)) return `the Makefile reads no variable ${name}`;
		} else if (!new RegExp(`^${name}:`, 'm').test(makefile)) return `the Makefile has no target ${name}`;
	}
	return undefined;
}

function commandProblem(program: Command, words: readonly string[]): string | undefined {
	let command = program;
	for (const word of words) {
		if (word.startsWith('-')) {
			const [flag] = word.split('=');
			const known = command.options.some(({ short, long }) => flag === short || flag === long);
			if (!known && flag !== '--help') return `maglane ${command.name()} has no ${flag}`;
			continue;
		}
		const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
		if (next) command = next;
		else if (command.commands.length > 0) return `${command.name()} has no command ${word}`;
	}
	return undefined;
}

const context: CliContext = {
	env: {},
	stdout: { write: () => {} },
	stderr: { write: () => {} },
	version: { version: '', abi: 0, node: '', kernel: '', arch: '' },
	openPins: () => Promise.reject(new Error('not called')),
	cleanup: () => Promise.reject(new Error('not called')),
	mountBpffs: () => Promise.reject(new Error('not called')),
	listServices: () => Promise.reject(new Error('not called')),
	runAgent: () => Promise.reject(new Error('not called')),
};

describe('pages', () => {
	it.each(PAGES)('%s: every relative link and anchor resolves', (page) => {
		expect(linksOf(read(page)).flatMap((target) => deadLink(page, target) ?? [])).toEqual([]);
	});

	it('README is the front page: it has at most 120 lines and links every page of docs but the notices', () => {
		const readme = read('README.md');
		expect(readme.trimEnd().split('\n').length).toBeLessThanOrEqual(120);
		const linked = new Set(linksOf(readme));
		const pages = markdown('docs').filter((page) => page !== 'docs/licences.md');
		expect(pages.filter((page) => !linked.has(page))).toEqual([]);
	});

	it('the checks find a dead link, a dead anchor, a target and a flag that do not exist', async () => {
		expect(deadLink('README.md', 'docs/none.md')).toBe('README.md: there is no docs/none.md');
		expect(deadLink('docs/dns.md', '#none')).toBe('docs/dns.md: docs/dns.md has no heading #none');
		expect(anchorsOf('# A `b` (c), d_e-f\n## A\n## A\n')).toEqual(new Set(['a-b-c-d_e-f', 'a', 'a-1']));
		expect(makeProblem(read('Makefile'), ['none'])).toBe('the Makefile has no target none');
		expect(makeProblem(read('Makefile'), ['up', 'NONE=1'])).toBe('the Makefile reads no variable NONE');
		const program = await buildProgram(context, {}, undefined);
		expect(commandProblem(program, ['none'])).toBe('maglane has no command none');
		expect(commandProblem(program, ['conn', 'list', '--none'])).toBe('maglane list has no --none');
	});
});

describe('commands in code of the pages', () => {
	it('make: the Makefile has every target and variable', () => {
		const makefile = read('Makefile');
		const used = commandLines.filter(({ words }) => words[0] === 'make' && words.length > 1);
		expect(used.length).toBeGreaterThan(10);
		const problems = used.flatMap(({ page, words }) => {
			const problem = makeProblem(makefile, words.slice(1));
			return problem ? [`${page}: ${words.join(' ')}: ${problem}`] : [];
		});
		expect(problems).toEqual([]);
	});

	it('maglane: the command line has every command and flag', async () => {
		const late = { standalone: { summary: '', load: async () => registerStandalone } };
		const program = await buildProgram(context, late, 'standalone');
		const used = commandLines.filter(
			({ words }) => /^(?:bin\/)?maglane$/.test(words[0]!) && words.length > 1,
		);
		expect(used.length).toBeGreaterThan(10);
		const problems = used.flatMap(({ page, words }) => {
			const problem = commandProblem(program, words.slice(1));
			return problem ? [`${page}: ${words.join(' ')}: ${problem}`] : [];
		});
		expect(problems).toEqual([]);
	});
});

describe('docs/operations.md', () => {
	const page = read('docs/operations.md');
	const rows = new Map(
		[...page.matchAll(/^\| `(--[a-z-]+)` \| (.+?) \| (.+) \|$/gm)].map(([, flag, usual, meaning]) => [
			flag!,
			{ usual: usual!, meaning: meaning! },
		]),
	);

	it('has a row for each flag of the agent, with its default and its alias, and no other', () => {
		expect([...rows.keys()].sort()).toEqual(SETTINGS.map(({ flag }) => flag).sort());
		for (const { flag, fallback, alias } of SETTINGS) {
			const { usual, meaning } = rows.get(flag)!;
			if (fallback) expect(usual, flag).toBe(`\`${fallback}\``);
			if (alias) expect(meaning, flag).toContain(`\`${alias}\``);
		}
	});

	it('names each metric of the agent, and no other', () => {
		const { registry } = createMetrics({} as MetricSources, { version: '', abi: '', node: '' });
		dnsMetrics(registry, { names: () => 0, cached: () => 0 });
		const runtime = /^(?:process|nodejs)_/;
		const exported = registry
			.getMetricsAsArray()
			.map(({ name }) => name)
			.filter((name) => !runtime.test(name));
		const table = page.split('\n').filter((line) => line.startsWith('| `'));
		const documented = table.flatMap((line) =>
			[...line.split(' | ')[0]!.matchAll(/`((?:kubeproxy|maglane|rest_client)_\w+)`/g)].map(
				([, name]) => name!,
			),
		);
		expect(documented.sort()).toEqual(exported.sort());
	});
});
