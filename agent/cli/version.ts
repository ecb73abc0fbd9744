import { type Command, Option } from 'commander';
import type { CliContext } from './context.ts';
import { printValue } from './output.ts';

/** `maglane version`. */
export function registerVersion(program: Command, context: CliContext): void {
	program
		.command('version')
		.summary('show the version')
		.addOption(
			new Option('-o, --output <format>', 'how to print').choices(['text', 'json', 'yaml']).default('text'),
		)
		.action(async (options: { output: 'text' | 'json' | 'yaml' }) => {
			const { version } = context;
			if (options.output !== 'text') {
				await printValue(context, options.output, version);
				return;
			}
			const { version: number, abi, node, kernel, arch } = version;
			context.stdout.write(`maglane ${number} (ABI ${abi}, Node ${node}, Linux ${kernel} ${arch})\n`);
		});
}
