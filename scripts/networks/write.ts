/** Writes docs/networks.md from the results in .cache/networks, which may be of several kernels. */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type KernelResults, RESULTS } from '../../test/networks/support/results.ts';
import { TOPOLOGIES } from '../../test/networks/topologies/index.ts';
import { page } from './page.ts';

const PAGE = resolve(import.meta.dirname, '../../docs/networks.md');

export function writeNetworksPage(): void {
	const results = globSync('*.json', { cwd: RESULTS }).map(
		(file) => JSON.parse(readFileSync(join(RESULTS, file), 'utf8')) as KernelResults,
	);
	writeFileSync(PAGE, page(existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '', TOPOLOGIES, results));
	console.log('docs/networks.md is written');
}
