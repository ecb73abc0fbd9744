import type { Command } from 'commander';
import type { CliContext } from './context.ts';

/** `maglane mount-bpffs`: for the init container of the DaemonSet, on hosts without bpffs. */
export function registerMountBpffs(program: Command, context: CliContext): void {
	program
		.command('mount-bpffs')
		.summary('mount bpffs on a host that has none')
		.description('Does nothing where bpffs is mounted. The agent pins its maps and programs there.')
		.argument('[directory]', 'mount point', '/sys/fs/bpf')
		.action(async (directory: string) => {
			const mounted = await context.mountBpffs(directory);
			context.stderr.write(`${mounted ? 'Mounted bpffs' : 'bpffs is mounted'} at ${directory}\n`);
		});
}
