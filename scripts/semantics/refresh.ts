/** The page from the current catalogue and titles, and from the results on the previous page. */
import { CATALOGUE } from '../../test/semantics/catalogue/index.ts';
import { REASONS } from '../../test/semantics/reasons.ts';
import { listTests } from '../tiers.ts';
import { kept, page, parsePage } from './page.ts';
import { rows, type Sources } from './rows.ts';

export const sources = async (): Promise<Sources> => ({
	catalogue: CATALOGUE,
	reasons: REASONS,
	titles: await listTests(),
});

export function refreshed(text: string, from: Sources): string {
	const { run, results } = parsePage(text);
	return page(from.catalogue, rows(from, kept(results)), run);
}
