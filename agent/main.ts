/** The command line: builds the context of the commands, and loads their modules on demand. */
import { release } from 'node:os';
import packageJson from '../package.json' with { type: 'json' };
import { MAGLANE_ABI } from './abi/layout.ts';
import type { CliContext } from './cli/context.ts';
import { type LateCommands, runCli } from './cli/program.ts';
import { environment, inClusterAddress } from './config.ts';

const context: CliContext = {
	env: environment(),
	stdout: process.stdout,
	stderr: process.stderr,
	version: {
		version: packageJson.version,
		abi: MAGLANE_ABI,
		node: process.version,
		kernel: release(),
		arch: process.arch,
	},
	async openPins(pinPath) {
		const [{ openNative }, { openPins }] = await Promise.all([
			import('./bpf/ffi/native.ts'),
			import('./compose/pins.ts'),
		]);
		return openPins(openNative('koffi'), pinPath);
	},
	async cleanup(pinPath) {
		const { cleanup } = await import('./bpf/cleanup.ts');
		return { removed: cleanup({ pinPath, ffi: 'koffi' }) };
	},
	mountBpffs: async (directory) => (await import('./bpf/bpffs.ts')).mountBpffs(directory),
	async listServices(named) {
		const [{ loadApiTarget }, { listServices }, { usualKubeconfig }] = await Promise.all([
			import('./kube/kubeconfig.ts'),
			import('./kube/list-services.ts'),
			import('./compose/usual-kubeconfig.ts'),
		]);
		const kubeconfig = named ?? usualKubeconfig(context.env);
		const inCluster = inClusterAddress(context.env);
		const where = { ...(kubeconfig && { kubeconfig }), ...(inCluster && { inCluster }) };
		return listServices(await loadApiTarget(where));
	},
	runAgent: async (config) => (await import('./compose/start.ts')).startAgent(config, packageJson.version),
};

/** Loaded on demand: the agent of a node needs no cluster in memory or in its image. */
const late: LateCommands = {
	standalone: {
		summary: 'run a cluster on this machine: API server, nodes and pods as network namespaces',
		async load() {
			try {
				return (await import('../standalone/cli.ts')).registerStandalone;
			} catch (cause) {
				if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
				throw new Error('The standalone cluster is not in this image: run it from the source tree', {
					cause,
				});
			}
		},
	},
};

// not exit(): it would discard unwritten output to a pipe
const code = await runCli(context, late, process.argv.slice(2));
process.exitCode ??= code;
