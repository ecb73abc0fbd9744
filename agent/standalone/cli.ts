/** `maglane standalone`: a cluster of network namespaces on this machine. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Command } from 'commander';
import pc from 'picocolors';
import { describeDown, down } from './cluster/down.ts';
import { type ClusterOptions, DEFAULT_DIRECTORY, DEFAULT_PREFIX, parseOptions } from './cluster/options.ts';
import { pathsOf } from './cluster/paths.ts';
import type { Report } from './cluster/report.ts';
import { missingRequirements } from './cluster/requirements.ts';
import { type ClusterState, isAlive, readState } from './cluster/state.ts';
import { findTarget, getJson } from './cluster/target.ts';
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
		.option('--port <port>', "the API server's port on 127.0.0.1; 0: any free one", '0')
		.option('--no-net', 'no namespaces: API server and controllers only, pods are described as ready')
		.option('--no-agents', 'nodes and pods without agents: Services have no addresses that answer')
		.action(async (flags) => runUp(parseOptions(flags)));
	standalone
		.command('down')
		.description('stop the cluster and remove everything of it')
		.option('--prefix <name>', 'what to remove when no state file tells', DEFAULT_PREFIX)
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.action(async ({ prefix, state }) => runDown(prefix, state));
	standalone
		.command('status')
		.description('nodes, agents and pods of the running cluster')
		.option('--state <dir>', 'state directory', DEFAULT_DIRECTORY)
		.option('-o, --output <format>', 'table or json', 'table')
		.action(async ({ state, output }) => runStatus(state, output));
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

async function runStatus(directory: string, format: string): Promise<void> {
	mustBeUp(directory);
	const report = await getJson<Report>(pathsOf(directory).controlSocket, '/status');
	if (!report) throw new Error('Cannot get the status: the control plane does not know it');
	if (format === 'json') console.log(JSON.stringify(report, undefined, 2));
	else if (format === 'table') printReport(report);
	else throw new RangeError(`Cannot print as ${format}: expected table or json`);
}

function printReport(report: Report): void {
	const rows = report.nodes.map(({ name, addresses, netns, pods, agent }) => [
		name,
		addresses.join(','),
		report.network ? netns : 'none',
		String(pods),
		agent ? (agent.ready ? 'ready' : (agent.lastEnd ?? 'starting')) : 'none',
		String(agent?.restarts ?? 0),
	]);
	printTable(['NODE', 'ADDRESSES', 'NAMESPACE', 'PODS', 'AGENT', 'RESTARTS'], rows);
	console.log(`API server ${report.server}, process ${report.pid}`);
	console.log(`${report.services} Services, ${report.readyPods} of ${report.pods} pods ready`);
}

/** Columns three spaces apart, as kubectl prints them. */
function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
	const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
	for (const row of [head, ...rows])
		console.log(
			row
				.map((cell, i) => cell.padEnd(widths[i]!))
				.join('   ')
				.trimEnd(),
		);
}

async function runExec(where: string, command: readonly string[], directory: string): Promise<void> {
	const place = await findTarget(where, mustBeUp(directory), directory);
	const [program, args] = placedCommand(place, command[0] === '--' ? command.slice(1) : command);
	const child = spawn(program, args, { stdio: 'inherit' });
	// The terminal sends its signals to both; this process must live to give the status
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
