/** The text of docs/semantics.md, and a parser for the run and the results of a committed page. */
import type { Section } from '../../test/semantics/catalogue/index.ts';
import type { Title } from '../tiers.ts';
import { MISSING, type Row } from './rows.ts';

const TESTS_NAMED = 2;
const RUN = /<!-- run -->\n([\s\S]*?)\n<!-- end of run -->/;

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
	const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |`;
	return [line(head), `|${'---|'.repeat(head.length)}`, ...body.map(line)].join('\n');
}

function testCell(tests: readonly Title[]): string {
	const links = tests.slice(0, TESTS_NAMED).map(({ file, title }) => {
		const text = title.replaceAll(/[[\]<>*_`\\]/g, '\\$&');
		return `[${file.replace(/^test\//, '').replace(/\.test\.ts$/, '')}](../${file}): ${text}`;
	});
	const more = tests.length - links.length;
	return [...links, ...(more > 0 ? [`and ${more} more`] : [])].join('<br>');
}

function summary(catalogue: readonly Section[], rows: ReadonlyMap<string, readonly Row[]>): string {
	const body = catalogue.map(({ letter, title }) => {
		const of = rows.get(letter)!;
		const count = (wanted: RegExp) => of.filter(({ result }) => wanted.test(result)).length;
		const numbers = [of.length, count(/^pass/), count(/^fail/), count(/^not run/), count(/^missing/)];
		return [`[${letter}](#${letter.toLowerCase()}) ${title}`, ...numbers.map(String)];
	});
	const sum = (column: number) => String(body.reduce((total, line) => total + Number(line[column]), 0));
	const total = ['all', ...[1, 2, 3, 4, 5].map(sum)];
	return table(['Section', 'Ids', 'Shown', 'Failed', 'Not run, with a reason', 'Missing'], [...body, total]);
}

/** @param run Markdown about the time and machine of the test run */
export function page(
	catalogue: readonly Section[],
	rows: ReadonlyMap<string, readonly Row[]>,
	run: string,
): string {
	const sections = catalogue.map(({ letter, title }) => {
		const body = rows
			.get(letter)!
			.map(({ id, statement, tests, result }) => [id, statement, testCell(tests), result]);
		return `## <a id="${letter.toLowerCase()}"></a>${letter}. ${title}\n\n${table(['Id', 'What', 'Shown by', 'Result'], body)}`;
	});
	return `${[
		'# Semantics',
		'Each rule (R-…) and case of what maglane must do, the tests that show it, and their result. `make semantics` runs the\ntests and writes this page: edit [the catalogue](../test/semantics/catalogue), [the reasons](../test/semantics/reasons.ts)\nor the titles of tests instead. A test shows the ids in its title.',
		summary(catalogue, rows),
		`<!-- run -->\n${run}\n<!-- end of run -->`,
		...sections,
	].join('\n\n')}\n`;
}

/** The description of the run on a page, and the results by id. */
export function parsePage(text: string): { run: string; results: Map<string, string> } {
	const lines = text.matchAll(/^\| ([A-H]-\w+|[A-H] R-\d+|R-A\d+) \|.*\| ([^|]+) \|$/gm);
	return {
		run: RUN.exec(text)?.[1] ?? 'The tests have not been run.',
		results: new Map([...lines].map((match) => [match[1]!, match[2]!])),
	};
}

/** The result to keep on a page without a new test run. */
export function kept(results: ReadonlyMap<string, string>): (id: string) => string {
	return (id) => {
		const result = results.get(id);
		return result === undefined || result === MISSING ? 'not run: added since' : result;
	};
}
