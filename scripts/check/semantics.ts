/**
 * Checks that docs/semantics.md follows from the catalogue and the titles of the tests; its results
 * are those of the last run.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePage } from '../semantics/page.ts';
import { refreshed, sources } from '../semantics/refresh.ts';
import { MISSING, unknownIds } from '../semantics/rows.ts';

/** One line per problem. */
export async function semanticsProblems(root: string): Promise<string[]> {
	const file = join(root, 'docs/semantics.md');
	const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
	const from = await sources();
	return [...unknownIds(from), ...hidden(root), ...staleness(text, refreshed(text, from))];
}

/** The static list of vitest, which runs no test, omits tests in a group of such a call. */
function hidden(root: string): string[] {
	return globSync('test/**/*.test.ts', { cwd: root })
		.filter((file) => /\.(skipIf|runIf)\(/.test(readFileSync(join(root, file), 'utf8')))
		.map((file) => `${file}: write { skip: condition } behind the title instead of .skipIf() or .runIf()`);
}

export function staleness(committed: string, expected: string): string[] {
	const missing = [...parsePage(expected).results].filter(([, result]) => result === MISSING);
	const had = new Set(committed.split('\n'));
	const changed = [
		...parsePage(
			expected
				.split('\n')
				.filter((line) => !had.has(line))
				.join('\n'),
		).results.keys(),
	];
	const what = changed.length > 0 ? changed.join(', ') : 'the text around the rows';
	return [
		...missing.map(
			([id]) => `${id} has neither a test that names it nor a reason in test/semantics/reasons.ts`,
		),
		...(committed === expected
			? []
			: [
					`docs/semantics.md is stale: ${what}. Run \`make semantics RUN=no\`, or without RUN=no for results`,
				]),
	];
}
