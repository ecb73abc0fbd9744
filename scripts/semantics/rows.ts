/** Joins the catalogue, the titles of the tests and their results: one row per id. */
import type { Section } from '../../test/semantics/catalogue/index.ts';
import type { TestResult, Title } from '../tiers.ts';
import { idsOf } from './ids.ts';

export const MISSING = 'missing';

export interface Row {
	readonly id: string;
	readonly statement: string;
	/** As in the source, sorted. */
	readonly tests: readonly Title[];
	/** pass, fail, `not run: reason`, or missing. */
	readonly result: string;
}

export interface Sources {
	readonly catalogue: readonly Section[];
	readonly reasons: Readonly<Record<string, string>>;
	readonly titles: readonly Title[];
}

/** Id -> the tests whose titles name it. */
export function titlesById(titles: readonly Title[]): Map<string, Title[]> {
	const byId = new Map<string, Title[]>();
	const sorted = titles.toSorted((a, b) => compare(a.file, b.file) || compare(a.title, b.title));
	for (const title of sorted)
		for (const id of idsOf(title.title)) byId.set(id, [...(byId.get(id) ?? []), title]);
	return byId;
}

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** Rows of each section by its letter. `resultOf` is called for ids with tests. */
export function rows(
	{ catalogue, reasons, titles }: Sources,
	resultOf: (id: string, tests: readonly Title[]) => string,
): Map<string, Row[]> {
	const byId = titlesById(titles);
	const row = (id: string, statement: string): Row => {
		const tests = byId.get(id) ?? [];
		const reason = reasons[id];
		const without = reason === undefined ? MISSING : `not run: ${reason}`;
		return { id, statement, tests, result: tests.length > 0 ? resultOf(id, tests) : without };
	};
	return new Map(
		catalogue.map(({ letter, entries }) => [
			letter,
			Object.entries(entries).map(([id, statement]) => row(id, statement)),
		]),
	);
}

/** Results by id from the reports. A file that did not load fails the ids that its titles claim. */
export function resultsFrom(
	tests: readonly TestResult[],
	reasons: Readonly<Record<string, string>>,
): (id: string, titles: readonly Title[]) => string {
	const unloaded = new Set(tests.filter(({ title }) => title === '').map(({ file }) => file));
	const statuses = new Map<string, Set<TestResult['status']>>();
	for (const { title, status } of tests)
		for (const id of idsOf(title)) statuses.set(id, (statuses.get(id) ?? new Set()).add(status));
	return (id, titles) => {
		const seen = statuses.get(id) ?? new Set();
		if (seen.has('failed') || titles.some(({ file }) => unloaded.has(file))) return 'fail';
		if (seen.has('passed')) return 'pass';
		return `not run: ${reasons[id] ?? (seen.has('skipped') ? 'this machine lacks what the test needs' : 'added since')}`;
	};
}

/** Ids in titles or reasons that the catalogue does not have. */
export function unknownIds({ catalogue, reasons, titles }: Sources): string[] {
	const known = new Set(catalogue.flatMap(({ entries }) => Object.keys(entries)));
	const inTitles = [...titlesById(titles)]
		.filter(([id]) => !known.has(id))
		.map(([id, [test]]) => `${test!.file}: "${test!.title}" names ${id}, which the catalogue does not have`);
	const inReasons = Object.keys(reasons)
		.filter((id) => !known.has(id))
		.map((id) => `test/semantics/reasons.ts: ${id} is not in the catalogue`);
	return [...inTitles, ...inReasons];
}
