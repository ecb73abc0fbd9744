import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import { counterRows } from './counter-rows.ts';
import { type Column, type Format, formatOption, printRows } from './output.ts';
import { pinPathOption, withPins } from './pin-path.ts';

/** Counters beyond the safe integer range are text. */
interface Row {
	readonly reason: string;
	readonly packets: number | string;
	readonly bytes: number | string;
}

const COLUMNS: readonly Column<Row>[] = [
	{ title: 'REASON', text: (row) => row.reason },
	{ title: 'PACKETS', text: (row) => String(row.packets), align: 'right' },
	{ title: 'BYTES', text: (row) => String(row.bytes), align: 'right' },
];

/** `maglane counters`: outcomes of packets and connect() calls by reason. */
export function registerCounters(program: Command, context: CliContext): void {
	program
		.command('counters')
		.summary('show what became of packets and connect() calls')
		.description('Counts by reason, summed over the CPUs, since the maps were made')
		.addOption(pinPathOption())
		.addOption(formatOption())
		.option('--all', 'also reasons that never happened')
		.action(async (options: { pinPath: string; output: Format; all?: boolean }) => {
			const counts = await withPins(context, options.pinPath, ({ counters }) => counterRows(counters));
			const rows = counts
				.filter(({ packets }) => options.all || packets > 0n)
				.map(({ reason, packets, bytes }) => ({ reason, packets: exact(packets), bytes: exact(bytes) }));
			await printRows(context, options.output, COLUMNS, rows);
		});
}

function exact(value: bigint): number | string {
	return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value);
}
