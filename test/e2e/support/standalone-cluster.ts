import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CLIENT_ADDRESSES } from '../../../standalone/net/addresses.ts';
import type { Driver, Place } from './cluster.ts';
import { Prober } from './prober.ts';
import { run } from './process.ts';
import { familyOf } from './service-view.ts';
import { eventually } from './wait.ts';

const MAIN = resolve(import.meta.dirname, '../../../agent/main.ts');
const PROBE = join(import.meta.dirname, 'probe.ts');

export const maglane = (...args: string[]) => run(process.execPath, [MAIN, 'standalone', ...args]);

export interface StandaloneDriver extends Driver {
	/** Directory of the cluster's state. */
	readonly directory: string;
	/** The pid of the node's running agent. */
	agentPid(node: string): Promise<number>;
}

/** Starts a new cluster. close() removes it together with its directory. */
export async function startStandalone(prefix: string, ...options: string[]): Promise<StandaloneDriver> {
	const directory = await mkdtemp(join(tmpdir(), `${prefix}-`));
	const down = async () => {
		await maglane('down', '--prefix', prefix, '--state', directory);
		await rm(directory, { recursive: true, force: true });
	};
	try {
		await maglane('up', '--prefix', prefix, '--state', directory, '--nodes', '2', ...options);
	} catch (error) {
		await down();
		throw error;
	}
	return { ...openStandalone(join(directory, 'kubeconfig'), directory), close: down };
}

/** Opens a running cluster. */
export function openStandalone(kubeconfig: string, directory: string): StandaloneDriver {
	const agentPid = async (node: string) => {
		const { pid } = await agentOf(directory, node);
		if (pid === undefined)
			throw new Error(`Cannot find the process of the agent of ${node}: it does not run`);
		return pid;
	};
	return {
		directory,
		agentPid,
		kind: 'standalone',
		kubeconfig,
		convergenceMs: 5000,
		startProbe: async (place) => {
			const args = [
				MAIN,
				'standalone',
				'exec',
				'--state',
				directory,
				nameOf(place),
				'--',
				process.execPath,
				PROBE,
			];
			return new Prober(nameOf(place), spawn(process.execPath, args, { stdio: 'pipe' }));
		},
		outside: CLIENT_ADDRESSES,
		routeOutside: async (routes) => {
			const lines = routes.map(
				([address, node]) => `route replace ${address} via ${node[familyOf(address)]}\n`,
			);
			const args = ['standalone', 'exec', '--state', directory, 'client', '--', 'ip', '-batch', '-'];
			await run(process.execPath, [MAIN, ...args], lines.join(''));
		},
		killAgent: async (node) => void process.kill(await agentPid(node), 'SIGKILL'),
		freezeAgent: async (node) => {
			const pid = await agentPid(node);
			process.kill(pid, 'SIGSTOP');
			return () => void process.kill(pid, 'SIGCONT');
		},
		agentReady: async (node) => {
			const isReady = async () => ((await agentOf(directory, node)).ready ? true : undefined);
			await eventually(`the agent of ${node} is ready`, isReady, 30_000);
		},
		close: async () => {},
	};
}

function nameOf(place: Place): string {
	if (place === 'outside') return 'client';
	return 'node' in place ? place.node : `${place.namespace}/${place.pod}`;
}

interface Agent {
	pid?: number;
	ready: boolean;
}

async function agentOf(directory: string, node: string): Promise<Agent> {
	const report = JSON.parse(await maglane('status', '--state', directory, '-o', 'json')) as {
		nodes: { name: string; agent?: Agent }[];
	};
	const agent = report.nodes.find(({ name }) => name === node)?.agent;
	if (!agent) throw new Error(`Cannot find the agent of ${node}`);
	return agent;
}
