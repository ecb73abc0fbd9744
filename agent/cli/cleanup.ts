import type { Command } from 'commander';
import type { CliContext } from './context.ts';
import { pinPathOption } from './pin-path.ts';

/** `maglane cleanup`: removes everything that agents left in the kernel. Needs no API server. */
export function registerCleanup(program: Command, context: CliContext): void {
	program
		.command('cleanup')
		.summary('detach all programs and remove all maps of this node')
		.description(
			'Services stop working on this node unless something else serves them. Works without an API server.',
		)
		.addOption(pinPathOption())
		.option('-q, --quiet', 'do not list what was removed')
		.action(async (options: { pinPath: string; quiet?: boolean }) => {
			const { removed } = await context.cleanup(options.pinPath);
			if (options.quiet) return;
			for (const pin of removed) context.stdout.write(`removed ${pin}\n`);
			if (removed.length === 0) context.stderr.write(`Nothing is pinned under ${options.pinPath}\n`);
		});
}
