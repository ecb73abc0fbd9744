/** The command `maglane standalone`: a cluster of network namespaces on this machine. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { addAbortSignal, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import pc from 'picocolors';
import { printable } from '../agent/base/printable.ts';
import { runStatus } from './cli-status.ts';
import { ApiClient } from './cluster/api-client.ts';
import { applyObjects } from './cluster/apply.ts';
import { describeDown, down } from './cluster/down.ts';
import { readLogs } from './cluster/logs.ts';
import { parseManifests } from './cluster/manifests.ts';
import { type ClusterOptions, DEFAULT_DIRECTORY, DEFAULT_PREFIX, parseOptions } from './cluster/options.ts';
import { pathsOf } from './cluster/paths.ts';
import { requireOwnState } from './cluster/private-files.ts';
import { missingRequirements } from './cluster/requirements.ts';
import { type ClusterState, isAlive, readState } from './cluster/state.ts';
import { findTarget } from './cluster/target.ts';
import { up } from './cluster/up.ts';
import { placedCommand } from './node/spawn.ts';

export function registerStandalone(program: Command): void {
	const standalone = program
		.command('standalone')
		.description('a cluster on this machine: API server, nodes and pods as network namespaces')
		.enablePositionalOptions();
	standalone
		.command('up')
		.description('start the cluster in the background and write its kubeconfig')
		.option('--nodes <n>', 'how many nodes', '2')
		.option('--zones <list>', 'zones of the nodes, in turn: zone-a,zone-a,zone-b (default: one each)')
		.option('--prefix <name>', 'start of the names of namespaces, pins and cgroups', DEFAULT_PREFIX)
		.option('--state <dir>', 'directory of kubeconfig, logs and state', DEFAULT_DIRECTORY)
		.option('--families <list>', 'address families, the primary first', 'v4,v6')
		.option(
			'--lb-pool <ranges>',
			"addresses of the client's network for Services of type LoadBalancer, or none",
		)
		.option('--port <port>', "the API server's port on 127.0.0.1; 0: any free one", '0')
		.option('--no-net', 'no namespaces: API server and controllers only, pods are described as ready')
		.option('--no-agents', 'nodes and pods without agents: Services have no addresses that answer')
		.action(async (flags) => runUp(parseOptions(flags)));
	standalone
		.command('down')
		.description('stop the cluster and remove everything of it')
		.option('--prefix <name>', 'prefix to remove if there is no state file', DEFAULT_PREFIX)
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.action(async ({ prefix, state }) => runDown(prefix, state));
	standalone
		.command('status')
		.description('nodes, agents and pods of the running cluster')
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.addOption(
			new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table'),
		)
		.action(async ({ state, output }) => {
			mustBeUp(state);
			await runStatus(state, output);
		});
	standalone
		.command('apply')
		.description(
			'create or change objects from manifests (YAML, KYAML, JSON); kinds that are not served are named and skipped',
		)
		.requiredOption('-f, --filename <file...>', 'files or directories; - is the input')
		.option('-n, --namespace <name>', 'of objects that name none', 'default')
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.action(runApply);
	standalone
		.command('logs')
		.description('print the log of the control plane, of the agent of a node, or of a pod')
		.argument('[of]', 'control-plane, node1, <pod> or <namespace>/<pod>', 'control-plane')
		.option('-f, --follow', 'print new lines as they arrive')
		.option('--tail <lines>', 'the last lines only')
		.option('-c, --container <name>', 'of a pod with several')
		.option('-p, --previous', "of the container's run before this one")
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.action(runLogs);
	standalone
		.command('exec')
		.description('run a command in the place of a node, a pod or the outside client')
		.argument('<where>', 'node1, client, <pod> or <namespace>/<pod>')
		.argument('<command...>', 'program and arguments, after --')
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.passThroughOptions()
		.action(async (where, command, { state }) => runExec(where, command, state));
}

async function runUp(asked: ClusterOptions): Promise<void> {
	const missing = asked.network ? missingRequirements() : [];
	const options = missing.length > 0 ? { ...asked, network: false, agents: false } : asked;
	for (const one of missing) console.error(`${pc.yellow('missing:')} ${one}`);
	if (missing.length > 0) console.error('Starting the control plane alone; pods are described, not run');
	const start = performance.now();
	const result = await up(options, (step) => console.log(`${pc.green('✓')} ${step}`));
	if (result.already) {
		console.log(`Already up: kubectl --kubeconfig ${result.kubeconfig} get nodes`);
		return;
	}
	console.log(`Up in ${((performance.now() - start) / 1000).toFixed(1)} s. Next:`);
	console.log(`  kubectl --kubeconfig ${result.kubeconfig} get nodes -o wide`);
	console.log('  maglane standalone exec client -- curl -s http://<node address>:<nodePort>/hostname');
	console.log('  maglane standalone down');
}

async function runDown(prefix: string, directory: string): Promise<void> {
	const lines = describeDown(await down({ prefix, directory }));
	if (lines.length === 0) console.log('Nothing to stop');
	for (const line of lines) console.log(`${pc.green('✓')} ${line}`);
}

interface ApplyFlags {
	readonly filename: readonly string[];
	readonly namespace: string;
	readonly state: string;
}

async function runApply({ filename, namespace, state }: ApplyFlags): Promise<void> {
	mustBeUp(state);
	const api = new ApiClient(pathsOf(state).kubeconfig);
	let failed = 0;
	for (const file of filename.flatMap(manifestFiles)) {
		const objects = parseManifests(await readManifest(file), file);
		for await (const { outcome, ...applied } of applyObjects(api, objects, namespace)) {
			const object = printable(applied.object);
			const reason = printable(applied.reason ?? '');
			if (outcome === 'skipped') console.error(`${pc.yellow('skipped')} ${object}: ${reason}`);
			else if (outcome === 'failed') console.error(`${pc.red('failed')} ${object}: ${reason}`);
			else console.log(`${object} ${outcome}`);
			if (outcome === 'failed') failed++;
		}
	}
	if (failed > 0) process.exitCode = 1;
}

/** The manifests of a directory in name order, like kubectl. */
function manifestFiles(file: string): string[] {
	if (file === '-' || !statSync(file).isDirectory()) return [file];
	const names = readdirSync(file).filter((name) => /\.(ya?ml|json)$/.test(name));
	return names.sort().map((name) => join(file, name));
}

async function readManifest(file: string): Promise<string> {
	return file === '-' ? text(process.stdin) : readFileSync(file, 'utf8');
}

interface LogFlags {
	readonly state: string;
	readonly follow?: boolean;
	readonly tail?: string;
	readonly container?: string;
	readonly previous?: boolean;
}

async function runLogs(target: string, flags: LogFlags): Promise<void> {
	const { state, follow = false, previous = false, container } = flags;
	if (flags.tail !== undefined && !/^\d+$/.test(flags.tail))
		throw new RangeError(`Cannot use --tail ${flags.tail}: expected a number of lines`);
	const tail = flags.tail === undefined ? undefined : Number(flags.tail);
	requireOwnState(state);
	const paths = pathsOf(state);
	const stop = new AbortController();
	for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
	const options = { follow, tail, container, previous };
	const logs = readLogs(target, paths, new ApiClient(paths.kubeconfig), options, stop.signal);
	try {
		for await (const part of addAbortSignal(stop.signal, Readable.from(logs))) process.stdout.write(part);
	} catch (error) {
		if (!stop.signal.aborted) throw error;
	}
}

async function runExec(where: string, command: readonly string[], directory: string): Promise<void> {
	const place = await findTarget(where, mustBeUp(directory), directory);
	const [program, args] = placedCommand(place, command[0] === '--' ? command.slice(1) : command);
	const child = spawn(program, args, { stdio: 'inherit' });
	// The terminal signals both processes. This one must outlive the child to return its exit status
	for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
	const status = await new Promise<number>((resolve, reject) => {
		child.once('error', reject);
		child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
	});
	process.exit(status);
}

function mustBeUp(directory: string): ClusterState {
	const state = readState(pathsOf(directory).state);
	if (state && isAlive(state)) return state;
	throw new Error(`Cannot find a running cluster in ${directory}: start it with "maglane standalone up"`);
}
