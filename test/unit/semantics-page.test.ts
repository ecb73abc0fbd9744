import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { staleness } from '../../scripts/check/semantics.ts';
import { idsOf } from '../../scripts/semantics/ids.ts';
import { page, parsePage } from '../../scripts/semantics/page.ts';
import { resultsFrom, rows, unknownIds } from '../../scripts/semantics/rows.ts';
import { CATALOGUE, type Section } from '../semantics/catalogue/index.ts';

/** The source of the catalogue, which is not part of the repository. */
const SPECIFICATION = join(resolve(import.meta.dirname, '../..'), '../shared/spec/acceptance.md');

/** Ids in the text of the specification. Each section numbers its rules from 1. */
function specified(text: string): string[] {
	const ids = new Set<string>();
	for (const section of text.split(/^(?=# [A-H]\. )/m).slice(1)) {
		for (const [id] of section.matchAll(/\b[A-H]-\d{2,3}[a-z]?\b/g)) ids.add(id);
		for (const [, rule] of section.matchAll(/\*\*R-(A?\d+)/g))
			ids.add(rule!.startsWith('A') ? `R-${rule}` : `${section[2]} R-${rule}`);
	}
	return [...ids];
}

const one: Section = {
	letter: 'B',
	title: 'One',
	entries: { 'B R-1': 'rule', 'B-01': 'case', 'B-02': 'x|y' },
};
const titled = (title: string) => ({ file: 'test/unit/a.test.ts', title });
const B_01 = titled('group > a case (B-01, B R-1)');

const rowsOf = (tests: Parameters<typeof resultsFrom>[0], reasons = {}, titles = [B_01]) =>
	rows({ catalogue: [one], reasons, titles }, resultsFrom(tests, reasons)).get('B')!;
const resultsOf = (...given: Parameters<typeof rowsOf>) => rowsOf(...given).map(({ result }) => result);

describe('the catalogue', () => {
	it('has every id of the specification', { skip: !existsSync(SPECIFICATION) }, () => {
		const known = new Set(CATALOGUE.flatMap(({ entries }) => Object.keys(entries)));
		expect(specified(readFileSync(SPECIFICATION, 'utf8')).filter((id) => !known.has(id))).toEqual([]);
	});

	it('has each id once, in its section, as titles name it', () => {
		const ids = CATALOGUE.flatMap(({ entries }) => Object.keys(entries));
		expect(new Set(ids).size).toBe(ids.length);
		for (const { letter, entries } of CATALOGUE)
			for (const id of Object.keys(entries)) {
				expect(idsOf(`a test (${id})`)).toEqual([id]);
				expect(id.replace(/^R-/, '')).toMatch(new RegExp(`^${letter}`));
			}
	});
});

describe('idsOf()', () => {
	it.each([
		['A-18, A-20: a port (C R-4, R-A10)', ['A-18', 'A-20', 'C R-4', 'R-A10']],
		['twice A-101, A-101; B-08a', ['A-101', 'B-08a']],
		['R-9, RFC-1624, XA-12, IPv4-01, A-1', []],
	])('%s', (title, ids) => expect(idsOf(title)).toEqual(ids));
});

describe('rows()', () => {
	it('passes what passed, misses what has neither a test nor a reason', () => {
		expect(resultsOf([{ ...B_01, status: 'passed' }])).toEqual(['pass', 'pass', 'missing']);
	});

	it('fails an id when one of its tests failed, or its file did not load', () => {
		const failed = { ...B_01, status: 'failed' as const };
		expect(resultsOf([{ ...B_01, status: 'passed' }, failed])[0]).toBe('fail');
		expect(resultsOf([{ ...titled(''), status: 'failed' }])[0]).toBe('fail');
	});

	it('says why an id was not run', () => {
		expect(resultsOf([{ ...B_01, status: 'skipped' }])[0]).toBe(
			'not run: this machine lacks what the test needs',
		);
		const reasons = { 'B-01': 'no kernel', 'B-02': 'optional' };
		expect(resultsOf([{ ...B_01, status: 'skipped' }], reasons).slice(1)).toEqual([
			'not run: no kernel',
			'not run: optional',
		]);
	});

	it('finds ids that the catalogue does not have', () => {
		const titles = [B_01, titled('a case (B-99)')];
		expect(unknownIds({ catalogue: [one], reasons: { 'B-77': 'why' }, titles })).toEqual([
			'test/unit/a.test.ts: "a case (B-99)" names B-99, which the catalogue does not have',
			'test/semantics/reasons.ts: B-77 is not in the catalogue',
		]);
	});
});

describe('page()', () => {
	const titles = [B_01, titled('B-01 again | with a bar'), titled('B-01 more')];
	const text = page(
		[one],
		new Map([['B', rowsOf([{ ...B_01, status: 'passed' }], {}, titles)]]),
		'| Tier |\n|---|\n| unit |',
	);

	it('counts, and names the first tests of a row', () => {
		expect(text).toContain('| [B](#b) One | 3 | 2 | 0 | 0 | 1 |');
		expect(text).toContain(
			'| B-01 | case | [unit/a](../test/unit/a.test.ts): B-01 again \\| with a bar<br>' +
				'[unit/a](../test/unit/a.test.ts): B-01 more<br>and 1 more | pass |',
		);
	});

	it('is read back by parsePage()', () => {
		const { run, results } = parsePage(text);
		expect(run).toBe('| Tier |\n|---|\n| unit |');
		expect([...results]).toEqual([
			['B R-1', 'pass'],
			['B-01', 'pass'],
			['B-02', 'missing'],
		]);
	});
});

describe('staleness()', () => {
	const line = (id: string, tests: string, result: string) => `| ${id} | what | ${tests} | ${result} |`;
	const whole = [line('B-01', 'a test', 'pass'), line('B-02', '', 'not run: optional')].join('\n');

	it('is none of a page in step', () => expect(staleness(whole, whole)).toEqual([]));

	it('names the rows that differ, and the remedy', () => {
		expect(staleness(whole, whole.replace('a test', 'two tests'))).toEqual([
			'docs/semantics.md is stale: B-01. Run `make semantics RUN=no`, or without RUN=no for results',
		]);
	});

	it('names what nothing shows', () => {
		const text = whole.replace('not run: optional', 'missing');
		expect(staleness(text, text)).toEqual([
			'B-02 has neither a test that names it nor a reason in test/semantics/reasons.ts',
		]);
	});
});
