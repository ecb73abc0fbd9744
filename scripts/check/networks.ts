/**
 * Checks that docs/networks.md has the current topologies and checks; its results are those of the
 * last runs.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TOPOLOGIES } from '../../test/networks/topologies/index.ts';
import { page } from '../networks/page.ts';

export function networksProblems(root: string): string[] {
	const file = join(root, 'docs/networks.md');
	const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
	return text === page(text, TOPOLOGIES, [])
		? []
		: ['docs/networks.md is stale: run `make networks`, or `make networks RUN=no` for the rows only'];
}
