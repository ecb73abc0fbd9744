/** The command `maglane standalone status`. */
import pc from 'picocolors';
import { stringify } from 'yaml';
import { printable, printableJson, printableLines } from '../agent/base/printable.ts';
import { pathsOf } from './cluster/paths.ts';
import { requireOwnState } from './cluster/private-files.ts';
import type { Report } from './cluster/report.ts';
import { getJson } from './cluster/target.ts';

export type StatusFormat = 'table' | 'json' | 'yaml';

export async function runStatus(directory: string, format: StatusFormat): Promise<void> {
	requireOwnState(directory);
	const report = await getJson<Report>(pathsOf(directory).controlSocket, '/status');
	if (!report) throw new Error('Cannot get the status: the control plane does not know it');
	if (format === 'json') console.log(printableJson(JSON.stringify(report, undefined, 2)));
	else if (format === 'yaml') process.stdout.write(printableLines(stringify(report)));
	else printReport(report);
}

function printReport(report: Report): void {
	const rows = report.nodes.map(({ name, addresses, netns, pods, agent }) => [
		name,
		addresses.join(','),
		report.network ? netns : 'none',
		String(pods),
		agent ? (agent.ready ? 'ready' : (agent.lastEnd ?? 'starting')) : 'none',
		String(agent?.restarts ?? 0),
	]);
	printTable(['NODE', 'ADDRESSES', 'NAMESPACE', 'PODS', 'AGENT', 'RESTARTS'], rows);
	console.log(`API server ${report.server}, process ${report.pid}`);
	console.log(`${report.services} Services, ${report.readyPods} of ${report.pods} pods ready`);
	for (const problem of report.problems) console.log(`${pc.yellow('problem:')} ${printable(problem)}`);
}

/** Prints columns with three spaces between them, like kubectl. */
function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
	const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
	for (const row of [head, ...rows])
		console.log(
			row
				.map((cell, i) => printable(cell).padEnd(widths[i]!))
				.join('   ')
				.trimEnd(),
		);
}
