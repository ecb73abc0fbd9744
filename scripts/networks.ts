/**
 * Runs the tier networks and writes docs/networks.md: scripts/networks.ts [topology...]. With
 * --page it runs nothing: the page shows the results in .cache/networks, which may be of other
 * kernels. Exits with 1 when a check failed.
 */
import { TOPOLOGIES } from '../test/networks/topologies/index.ts';
import { writeNetworksPage } from './networks/write.ts';
import { runTier } from './tiers.ts';

const names = process.argv.slice(2).filter((argument) => argument !== '--page');
const unknown = names.filter((name) => !TOPOLOGIES.some((topology) => topology.name === name));
if (unknown.length > 0) {
	console.error(`Unknown topology: ${unknown.join(', ')}`);
	console.error(`The topologies are ${TOPOLOGIES.map(({ name }) => name).join(', ')}`);
	process.exit(2);
}
if (!process.argv.includes('--page')) {
	// the tests read it, in their own processes
	process.env['MAGLANE_NETWORKS'] = names.join(' ');
	const { passed, failed, skipped, seconds, note } = await runTier('networks');
	console.log(`${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds.toFixed(0)} s ${note}`);
	if (failed > 0) process.exitCode = 1;
}
writeNetworksPage();
