import { type Command, InvalidArgumentError } from 'commander';
import { type ConnectionRow, connectionRows } from './connection-rows.ts';
import type { CliContext } from './context.ts';
import { type Column, type Format, formatOption, printRows } from './output.ts';
import { pinPathOption, withPins } from './pin-path.ts';

const COLUMNS: readonly Column<ConnectionRow>[] = [
	{ title: 'PROTO', text: (row) => row.protocol },
	{ title: 'CLIENT', text: (row) => row.client },
	{ title: 'FRONTEND', text: (row) => row.frontend },
	{ title: 'BACKEND', text: (row) => row.backend },
	{ title: 'SOURCE', text: (row) => row.source ?? '-' },
	{ title: 'FLAGS', text: (row) => row.flags.join(',') || '-' },
];

/**
 * `maglane conn list`: the connections that BPF programs track. Those translated at connect() need
 * no tracking.
 */
export function registerConn(program: Command, context: CliContext): void {
	program
		.command('conn')
		.alias('ct')
		.summary('show tracked connections')
		.command('list', { isDefault: true })
		.description(
			'Connections that are translated packet by packet; TCP of this node is translated once, at connect()',
		)
		.addOption(pinPathOption())
		.addOption(formatOption())
		.option('--limit <n>', 'print at most this many; 0: all', wholeNumber, 1000)
		.action(async (options: { pinPath: string; output: Format; limit: number }) => {
			const rows = await withPins(context, options.pinPath, ({ connections }) => {
				const all = connectionRows(connections);
				return [...(options.limit > 0 ? all.take(options.limit) : all)];
			});
			await printRows(context, options.output, COLUMNS, rows);
		});
}

function wholeNumber(text: string): number {
	if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number');
	return Number(text);
}
