/**
 * Runs the tests and writes docs/semantics.md: scripts/semantics.ts [tier...]. For other tiers it
 * uses the last report. With --titles it runs nothing: it updates the rows from the titles and
 * keeps the results. Exits with 1 when a test failed or an id has neither a test nor a reason.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { arch, availableParallelism, release } from 'node:os';
import { join, resolve } from 'node:path';
import { CATALOGUE } from '../test/semantics/catalogue/index.ts';
import { REASONS } from '../test/semantics/reasons.ts';
import { page } from './semantics/page.ts';
import { refreshed, sources } from './semantics/refresh.ts';
import { MISSING, type Row, resultsFrom, rows, unknownIds } from './semantics/rows.ts';
import { chosenTiers, type Outcome, runTier } from './tiers.ts';

const root = resolve(import.meta.dirname, '..');
const PAGE = join(root, 'docs/semantics.md');
const REPORTS = join(root, '.cache/semantics');

/** The last run of a tier, kept between runs. */
interface Saved extends Outcome {
	/** When it ended, UTC, to the minute. */
	readonly at: string;
	readonly machine: string;
}

const committed = () => (existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : '');

async function runAndSave(tier: string): Promise<void> {
	const outcome = await runTier(tier);
	const at = `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC`;
	const machine = `Linux ${release()}, ${arch()}, ${availableParallelism()} CPUs`;
	const saved: Saved = { ...outcome, at, machine };
	mkdirSync(REPORTS, { recursive: true });
	writeFileSync(join(REPORTS, `${tier}.json`), JSON.stringify(saved));
}

function readReports(): Map<string, Saved> {
	const reports = new Map<string, Saved>();
	for (const tier of chosenTiers([])) {
		const file = join(REPORTS, `${tier}.json`);
		if (existsSync(file)) reports.set(tier, JSON.parse(readFileSync(file, 'utf8')) as Saved);
	}
	return reports;
}

function aboutRun(reports: ReadonlyMap<string, Saved>): string {
	const line = ([tier, run]: [string, Saved]) =>
		`| ${[tier, run.passed, run.failed, run.skipped, run.seconds.toFixed(0), run.at, run.machine, run.note].join(' | ')} |`;
	const head =
		'| Tier | Passed | Failed | Skipped | Seconds | Ended | On | |\n|---|---|---|---|---|---|---|---|';
	return [head, ...[...reports].map(line)].join('\n');
}

function report(all: readonly Row[]): void {
	const ids = (wanted: RegExp) => all.filter(({ result }) => wanted.test(result)).map(({ id }) => id);
	const failed = ids(/^fail/);
	const missing = ids(new RegExp(`^${MISSING}`));
	console.log(`${ids(/^pass/).length} of ${all.length} ids shown; docs/semantics.md is written`);
	if (failed.length > 0) console.log(`failed: ${failed.join(', ')}`);
	if (missing.length > 0)
		console.log(
			`missing: ${missing.join(', ')}\nGive each a test with the id in its title, or a reason in test/semantics/reasons.ts`,
		);
	if (failed.length + missing.length > 0) process.exitCode = 1;
}

async function main(args: readonly string[]): Promise<void> {
	const only = args.includes('--titles');
	if (!only) for (const tier of chosenTiers(args)) await runAndSave(tier);
	const from = await sources();
	const unknown = unknownIds(from);
	for (const problem of unknown) console.error(problem);
	if (unknown.length > 0) process.exitCode = 1;
	if (only) return writeFileSync(PAGE, refreshed(committed(), from));
	const reports = readReports();
	const joined = rows(
		from,
		resultsFrom(
			[...reports.values()].flatMap(({ tests }) => tests),
			REASONS,
		),
	);
	writeFileSync(PAGE, page(CATALOGUE, joined, aboutRun(reports)));
	report([...joined.values()].flat());
	// a failed test without an id has no row, but fails the run
	if ([...reports.values()].some(({ failed }) => failed > 0)) process.exitCode = 1;
}

if (import.meta.main) await main(process.argv.slice(2));
