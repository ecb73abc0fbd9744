/**
 * The text of docs/kernels.md: results of the programs and tests on each stock kernel, from runs of
 * make networks-vm.
 */
import type { Outcome } from '../tiers.ts';
import type { MachineResult } from './matrix.ts';

const HEAD = `# Kernels

Written by \`make networks-vm PAGE=yes\` from runs on stock Debian kernels in QEMU: do not edit. \`load\` asks the verifier for every program,
once with all switches off and once with all on; the other columns are tiers of tests, run inside. A skipped test says which probe
of the kernel had the answer no.
`;

/** Features of the probe that depend on the machine, not on the kernel. */
const OF_THE_MACHINE = new Set(['capabilities', 'bpffs', 'cgroup2', 'unprivilegedOff']);

export function kernelsPage(results: readonly MachineResult[]): string {
	const sorted = [...results].sort((a, b) => byVersion(a.kernel, b.kernel) || byVersion(a.clang, b.clang));
	return [HEAD, outcomes(sorted), '## What the probe finds\n', features(sorted), failures(sorted)]
		.filter((part) => part !== '')
		.join('\n');
}

const byVersion = (a: string, b: string) => a.localeCompare(b, 'en', { numeric: true });
const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
	row(head) + row(head.map(() => '---')) + rows.map(row).join('');

const count = ({ passed, failed, skipped }: Outcome) =>
	[`${passed} pass`, failed > 0 ? `**${failed} fail**` : '', skipped > 0 ? `${skipped} skipped` : '']
		.filter((part) => part !== '')
		.join(', ');

function outcomes(results: readonly MachineResult[]): string {
	const tiers = [...new Set(results.flatMap((one) => Object.keys(one.tiers)))];
	const rows = results.map((one) => [
		one.kernel,
		one.clang,
		...tiers.map((tier) => (one.tiers[tier] ? count(one.tiers[tier]) : 'not run')),
	]);
	return table(['kernel', 'compiler', ...tiers], rows);
}

/** One row per kernel: its features do not depend on the compiler. */
function features(results: readonly MachineResult[]): string {
	const kernels = [...new Map(results.map((one) => [one.kernel, one])).values()];
	const names = [...new Set(kernels.flatMap((one) => Object.keys(one.features)))].filter(
		(name) => !OF_THE_MACHINE.has(name),
	);
	return table(
		['kernel', ...names],
		kernels.map((one) => [one.kernel, ...names.map((name) => one.features[name]?.why ?? '')]),
	);
}

function failures(results: readonly MachineResult[]): string {
	const lines = results.flatMap(({ kernel, clang, tiers, note }) => [
		...(note ? [`- ${kernel}, ${clang}: ${note}\n`] : []),
		...Object.values(tiers)
			.flatMap((tier) => tier.tests)
			.filter(({ status }) => status === 'failed')
			.map(({ file, title }) => `- ${kernel}, ${clang}: \`${file}\`: ${title}\n`),
	]);
	return lines.length > 0 ? `## What fails\n\n${lines.join('')}` : '';
}
