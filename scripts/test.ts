/**
 * Runs the tests tier by tier. Prints the number of tests and the duration of each tier, the reason
 * for a skipped tier, and the failed tests: scripts/test.ts [tier...]. Exits with 1 when a test
 * failed.
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

/** At the end, so that a truncated log still has them. */
function printFailures(outcomes: ReadonlyMap<string, Outcome>): void {
	for (const { tests } of outcomes.values())
		for (const { file, title, status, failures = [] } of tests)
			if (status === 'failed') console.log([`failed: ${file}: ${title}`, ...failures].join('\n    '));
}

const outcomes = new Map<string, Outcome>();
for (const tier of chosenTiers(process.argv.slice(2))) outcomes.set(tier, await runTier(tier));
print(outcomes);
printFailures(outcomes);
const sum = (field: 'passed' | 'failed' | 'skipped') =>
	[...outcomes.values()].reduce((total, outcome) => total + outcome[field], 0);
console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
process.exitCode = sum('failed') > 0 ? 1 : 0;
