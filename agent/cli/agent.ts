import { type Command, Option } from 'commander';
import { loadConfig, SETTINGS } from '../config.ts';
import { type CliContext, ExitError } from './context.ts';

/** `maglane agent`: serves the Services of a cluster on this node until it is stopped. */
export function registerAgent(program: Command, context: CliContext): void {
	const command = program
		.command('agent')
		.summary('serve the Services of a cluster on this node')
		.description(
			'Watches Services and their endpoints and keeps BPF maps and programs on this node up to date. Stopping it changes nothing for traffic: programs stay attached until `maglane cleanup`.',
		)
		.option('--config <file>', 'YAML file with these settings, in camelCase (env: MAGLANE_CONFIG)');
	for (const { flag, value, help, env, fallback, alias } of SETTINGS) {
		const defaults = fallback === undefined ? '' : `default: ${fallback}, `;
		const also = alias === undefined ? '' : `, also ${alias}`;
		command.addOption(new Option(`${flag} ${value}`, `${help} (${defaults}env: ${env}${also})`));
		if (alias !== undefined) command.addOption(new Option(`${alias} ${value}`).hideHelp());
	}
	command.action(async (flags: Record<string, unknown>) => {
		const code = await context.runAgent(await loadConfig(flags, context.env));
		if (code !== 0) throw new ExitError('', code);
	});
}
