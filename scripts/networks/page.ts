/**
 * The text of docs/networks.md: kernel x topology x mode, from the results of runs and the previous
 * page.
 */
import { COMMON, checksOf } from '../../test/networks/checks/index.ts';
import type { CellResult, KernelResults, TopologyResult } from '../../test/networks/support/results.ts';
import type { Mode, Spec } from '../../test/networks/support/spec.ts';

/** Cells of a row after the topology's name. */
type Row = readonly string[];

interface Section {
	readonly at: string;
	readonly rows: ReadonlyMap<string, Row>;
}

const MODES: readonly Mode[] = ['XDP', 'TC'];
const ADDED: Row = ['not run', '', ''];
const HEAD = ['Topology', ...MODES, 'Degradations and their reasons'];

function table(head: Row, body: readonly Row[]): string {
	const line = (cells: Row) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
	return [line(head), `|${'---|'.repeat(head.length)}`, ...body.map(line)].join('\n');
}

const share = (cells: readonly CellResult[]) =>
	`${cells.filter(({ outcome }) => outcome === 'works').length} of ${cells.length}`;

/** The failed checks by mode and family: `fails by XDP, IPv4: a, b`. */
function failures(cells: readonly CellResult[]): string[] {
	const failed = cells.filter(({ outcome }) => outcome === 'fails');
	return MODES.flatMap((mode) =>
		(['v4', 'v6'] as const).flatMap((family) => {
			const ids = failed
				.filter((cell) => cell.mode === mode && cell.family === family)
				.map(({ check }) => check);
			return ids.length > 0 ? [`fails by ${mode}, IP${family}: ${ids.join(', ')}`] : [];
		}),
	);
}

function rowOf(spec: Spec, { absent, cells }: TopologyResult): Row {
	if (absent !== undefined) return [absent, absent, ''];
	const ofMode = (mode: Mode) => cells.filter((cell) => cell.mode === mode);
	const modes = MODES.map((mode) =>
		spec.modes.includes(mode) ? share(ofMode(mode)) : 'the device has none',
	);
	const degraded = (spec.degraded ?? []).map(({ checks, why }) => `${checks.join(', ')}: ${why}`);
	return [...modes, [...degraded, ...failures(cells)].join('; ')];
}

/** The sections of a page, by kernel. */
export function parsePage(text: string): Map<string, Section> {
	const sections = text.split(/^## Linux /m).slice(1);
	return new Map(
		sections.map((section) => {
			const [kernel] = section.split('\n', 1);
			const at = /^Run (.+)\.$/m.exec(section)?.[1] ?? '';
			const lines = [...section.matchAll(/^\| ([\w-]+) \| (.*) \| (.*) \| (.*) \|$/gm)];
			return [kernel!, { at, rows: new Map(lines.map(([, name, ...cells]) => [name!, cells])) }];
		}),
	);
}

function sectionOf({ at, topologies }: KernelResults, specs: readonly Spec[], before?: Section): Section {
	const rows = specs.flatMap((spec): [string, Row][] => {
		const result = topologies[spec.name];
		const row = result ? rowOf(spec, result) : before?.rows.get(spec.name);
		return row ? [[spec.name, row]] : [];
	});
	return { at, rows: new Map(rows) };
}

/**
 * The page with new results of some kernels. @param text the previous page, whose other results
 * stay
 */
export function page(text: string, specs: readonly Spec[], results: readonly KernelResults[]): string {
	const sections = parsePage(text);
	for (const result of results)
		sections.set(result.kernel, sectionOf(result, specs, sections.get(result.kernel)));
	const kernels = [...sections.keys()].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
	const own = specs.flatMap((spec) => spec.checks ?? []);
	const every = [...new Map([...COMMON, ...own].map((check) => [check.id, check])).values()];
	return `${[
		'# Networks',
		INTRODUCTION,
		table(
			['Topology', 'A model of', 'Checks'],
			specs.map((spec) => [spec.name, spec.models, String(checksOf(spec).length)]),
		),
		'Each check is asked over IPv4 and IPv6, with XDP in front of TC and with TC alone:',
		table(
			['Check', 'Passes when'],
			every.map(({ id, title }) => [id, title]),
		),
		...kernels.map((kernel) => {
			const { at, rows } = sections.get(kernel)!;
			const body = specs.map(({ name }) => [name, ...(rows.get(name) ?? ADDED)]);
			return `## Linux ${kernel}\n\nRun ${at}.\n\n${table(HEAD, body)}`;
		}),
	].join('\n\n')}\n`;
}

const INTRODUCTION = `The networks that maglane supports, and their degradations. \`make networks\` builds each topology of
[test/networks](../test/networks/topologies) in network namespaces, with the agent as shipped on two nodes, runs the same
checks on all of them, and writes this page. A number is the count of checks that work, both families together. A check that
is listed as degraded runs too and must fail: otherwise the page would be wrong.`;
