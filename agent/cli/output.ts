import { Option } from 'commander';
import picocolors from 'picocolors';
import { printable, printableJson, printableLines } from '../base/printable.ts';
import type { CliContext } from './context.ts';

export type Format = 'table' | 'json' | 'yaml';

export const formatOption = (): Option =>
	new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table');

export interface Column<T> {
	readonly title: string;
	text(row: T): string;
	readonly align?: 'right';
}

/** Prints rows to stdout: columns for people, or all fields for programs. */
export async function printRows<T>(
	context: CliContext,
	format: Format,
	columns: readonly Column<T>[],
	rows: readonly T[],
): Promise<void> {
	if (format === 'table') context.stdout.write(table(context, columns, rows));
	else await printValue(context, format, rows);
}

/** Prints a value for programs. */
export async function printValue(
	context: CliContext,
	format: 'json' | 'yaml',
	value: unknown,
): Promise<void> {
	// loaded only for yaml: the agent, which also starts here, does not need it
	const text =
		format === 'json'
			? `${printableJson(JSON.stringify(value, null, 2))}\n`
			: printableLines((await import('yaml')).stringify(value));
	context.stdout.write(text);
}

/** Columns two spaces apart, as kubectl prints them: no frames, so that cut and awk work. */
function table<T>(context: CliContext, columns: readonly Column<T>[], rows: readonly T[]): string {
	const body = rows.map((row) => columns.map((column) => printable(column.text(row))));
	const widths = columns.map((column, i) =>
		Math.max(column.title.length, ...body.map((cells) => cells[i]!.length)),
	);
	const line = (cells: readonly string[]): string =>
		cells
			.map((cell, i) => (columns[i]!.align === 'right' ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
			.join('  ')
			.trimEnd();
	const { bold } = colors(context);
	const lines = [bold(line(columns.map((column) => column.title))), ...body.map(line)];
	return `${lines.join('\n')}\n`;
}

/** Colours on a terminal, unless NO_COLOR is set (no-color.org). */
export function colors(context: CliContext): ReturnType<typeof picocolors.createColors> {
	return picocolors.createColors(Boolean(context.stdout.isTTY) && !context.env['NO_COLOR']);
}
