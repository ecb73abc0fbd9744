import type { Command } from 'commander';
import { agentStatus, metricsAddressOption } from './agent-status.ts';
import type { CliContext } from './context.ts';
import { type BackendShare, type FrontendRow, frontendRows } from './frontend-rows.ts';
import { type Column, type Format, formatOption, printRows } from './output.ts';
import { pinPathOption, withPins } from './pin-path.ts';

interface Row extends FrontendRow {
	/** `default/web:80/tcp`, or the number when no agent answers. */
	readonly service: string;
}

const COLUMNS: readonly Column<Row>[] = [
	{ title: 'SERVICE', text: (row) => row.service },
	{ title: 'FRONTEND', text: (row) => `${row.address}/${row.protocol}` },
	{ title: 'KIND', text: (row) => row.kind },
	{ title: 'FROM', text: (row) => (row.scopes.length === 2 ? 'all' : row.scopes[0]!) },
	{ title: 'BACKENDS', text: (row) => row.backends.map(backendText).join(' ') || `<none: ${row.empty}>` },
];

function backendText({ address, share, local }: BackendShare): string {
	return `${address}${local ? '*' : ''}(${Math.round(share * 100)}%)`;
}

/** `maglane service list`: frontends and their backends, from the maps of the packet lookups. */
export function registerService(program: Command, context: CliContext): void {
	program
		.command('service')
		.alias('svc')
		.summary('show Services as the kernel has them')
		.command('list', { isDefault: true })
		.description(
			'Frontends with their backends and shares of new connections; * is an endpoint of this node. Names of Services come from the running agent; without one there are numbers.',
		)
		.addOption(pinPathOption())
		.addOption(metricsAddressOption())
		.addOption(formatOption())
		.action(async (options: { pinPath: string; metricsAddress: string; output: Format }) => {
			const rows = await withPins(context, options.pinPath, frontendRows);
			const names = (await agentStatus(options.metricsAddress))?.services ?? {};
			const named = rows.map((row) => ({ service: names[row.serviceId] ?? String(row.serviceId), ...row }));
			await printRows(context, options.output, COLUMNS, named);
		});
}
