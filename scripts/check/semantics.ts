/** docs/semantics.md and the titles of the tests name what the catalogue has, no more and no less. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CATALOGUE } from '../../test/semantics/catalogue/index.ts';
import { REASONS } from '../../test/semantics/reasons.ts';
import { parsePage } from '../semantics/page.ts';
import { unknownIds } from '../semantics/rows.ts';
import { listTests } from '../tiers.ts';

const REMEDY = 'Run `make semantics RUN=no`';

/** One line a problem. */
export async function semanticsProblems(root: string): Promise<string[]> {
	const titles = await listTests();
	const unknown = unknownIds({ catalogue: CATALOGUE, reasons: REASONS, titles });
	const file = join(root, 'docs/semantics.md');
	const listed = parsePage(existsSync(file) ? readFileSync(file, 'utf8') : '').results;
	const absent = CATALOGUE.flatMap(({ entries }) => Object.keys(entries)).filter((id) => !listed.has(id));
	const rows = absent.length > 0 ? [`docs/semantics.md has no row for ${absent.join(', ')}. ${REMEDY}`] : [];
	return [...unknown, ...hidden(root), ...rows];
}

/** vitest's list of tests, which is made without running any, has none in a group of such a call. */
function hidden(root: string): string[] {
	return globSync('test/**/*.test.ts', { cwd: root })
		.filter((file) => /\.(skipIf|runIf)\(/.test(readFileSync(join(root, file), 'utf8')))
		.map((file) => `${file}: write { skip: condition } behind the title instead of .skipIf() or .runIf()`);
}
