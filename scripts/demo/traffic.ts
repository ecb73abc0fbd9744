/**
 * The table of the demo: every address with requests from everywhere. Prints each row as soon as it
 * is known.
 */
import pc from 'picocolors';
import type { ProbeResult } from './job.ts';
import { runProber, type Where } from './run-prober.ts';
import type { Expectation, Vantage } from './targets.ts';

const REQUESTS = 40;
const TIMEOUT_MS = 2000;
const HEAD = ['from', 'service', 'way', 'address', 'answers', 'median'];

export interface Summary {
	readonly rows: number;
	/** Rows with a request that had no expected answer. */
	readonly missing: readonly string[];
}

/** @param places each vantage as in `standalone exec` @param pods names that may answer */
export async function showTraffic(
	expected: readonly Expectation[],
	places: Readonly<Record<Vantage, string>>,
	pods: ReadonlySet<string>,
	where: Omit<Where, 'target'>,
	signal: AbortSignal,
): Promise<Summary> {
	const missing: string[] = [];
	const widths = widthsOf(expected);
	console.log(pc.bold(`${line(HEAD, widths)}  backends`));
	for (const from of ['pod', 'host', 'outside'] as const) {
		const targets = expected.filter((one) => one.from === from);
		if (targets.length === 0) continue;
		const byId = new Map(targets.map((one) => [one.id, one]));
		const seen = new Set<string>();
		const job = { kind: 'probe', targets, requests: REQUESTS, timeoutMs: TIMEOUT_MS } as const;
		const onResult = (result: ProbeResult) => {
			const target = byId.get(result.id)!;
			seen.add(result.id);
			if (result.failed > 0 || result.answered < REQUESTS) missing.push(result.id);
			console.log(row(target, result, pods, widths));
		};
		await runProber({ ...where, target: places[from] }, job, onResult, signal);
		missing.push(...targets.map(({ id }) => id).filter((id) => !seen.has(id)));
	}
	return { rows: expected.length, missing };
}

function cellsOf({ from, service, way, address, port }: Expectation): string[] {
	return [from, service, way, `${address.includes(':') ? `[${address}]` : address}:${port}`];
}

function widthsOf(expected: readonly Expectation[]): number[] {
	const rows = [...expected.map(cellsOf), HEAD];
	return HEAD.map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)) + 1);
}

function row(
	target: Expectation,
	result: ProbeResult,
	pods: ReadonlySet<string>,
	widths: readonly number[],
): string {
	const complete = result.failed === 0 && result.answered === REQUESTS;
	const median = result.medianMs === undefined ? '-' : `${result.medianMs.toFixed(2)} ms`;
	const text = line([...cellsOf(target), `${result.answered}/${REQUESTS}`, median], widths);
	const shares = sharesOf(result, pods);
	return complete
		? `${text}  ${shares}`
		: `${pc.red(text)}  ${shares} ${pc.red(result.error ?? 'no answer')}`;
}

/**
 * The share of each pod, by the distinct part of its name; answers without a pod's name are only
 * counted.
 */
function sharesOf(result: ProbeResult, pods: ReadonlySet<string>): string {
	const shares = Object.entries(result.backends).map(([name, count]): [string, number] => [
		pods.has(name) ? (name.split('-').at(-1) ?? name) : 'answered',
		count,
	]);
	return shares
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, count]) => `${name} ${pc.dim(`${Math.round((100 * count) / result.answered)}%`)}`)
		.join('  ');
}

function line(cells: readonly string[], widths: readonly number[]): string {
	return cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' ');
}
