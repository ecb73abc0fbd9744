/**
 * Runs the tests tier by tier and says how many ran in each, how long they took, and why a tier was left out:
 * scripts/test.ts [tier...]. Exit status 1 when a test failed.
 */
import Table from 'cli-table3';
import { chosenTiers, type Outcome, runTier } from './tiers.ts';

function print(outcomes: ReadonlyMap<string, Outcome>): void {
	const table = new Table({
		head: ['tier', 'passed', 'failed', 'skipped', 'seconds', ''],
		style: { head: [], border: [] },
		colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
	});
	for (const [tier, { passed, failed, skipped, seconds, note }] of outcomes)
		table.push([tier, passed, failed, skipped, seconds.toFixed(1), note]);
	console.log(`\n${table.toString()}`);
}

const outcomes = new Map<string, Outcome>();
for (const tier of chosenTiers(process.argv.slice(2))) outcomes.set(tier, await runTier(tier));
print(outcomes);
const sum = (field: 'passed' | 'failed' | 'skipped') =>
	[...outcomes.values()].reduce((total, outcome) => total + outcome[field], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') > 0 ? 1 : 0;
