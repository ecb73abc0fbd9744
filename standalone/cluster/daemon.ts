/**
 * Entry of the control plane's process. up.ts starts it with its options as JSON. It reports its
 * progress over IPC until it is up and then continues alone. It ends on SIGTERM; down.ts removes
 * the remaining kernel objects.
 */

import { chmodSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import pino from 'pino';
import { safeLine } from '../../agent/base/log.ts';
import { socketPath } from '../unix-path.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { ensureBpffs } from './mounts.ts';
import type { ClusterOptions, DaemonOptions } from './options.ts';
import { type Paths, pathsOf } from './paths.ts';
import { PRIVATE_FILE } from './private-files.ts';
import { report } from './report.ts';
import { type ClusterState, processStart, readState, writeState } from './state.ts';

/** Messages to up.ts. */
export type Progress =
	| { readonly type: 'step'; readonly text: string }
	| { readonly type: 'ready'; readonly port: number }
	| { readonly type: 'failed'; readonly message: string };

const AGENTS_TIMEOUT_MS = 60_000;
const AGENTS_POLL_MS = 100;

async function main(options: DaemonOptions): Promise<void> {
	const paths = pathsOf(options.directory);
	const log = pino({ base: null, hooks: { streamWrite: safeLine } });
	const before = readState(paths.state);
	const state = (more: Partial<ClusterState>) =>
		writeState(paths.state, { ...baseState(options), built: options.adopt, ...more });
	const port = options.lastPort;
	state({ port });
	const mountedBpffs = (options.network && ensureBpffs()) || (before?.mountedBpffs ?? false);
	state({ port, mountedBpffs });
	const plane = await startControlPlane(options, paths, log, (text) => tell({ type: 'step', text }));
	stopOnSignal(plane, log);
	await serveControl(options, plane, paths);
	if (plane.agents.size > 0) await waitForAgents(options, plane);
	state({ mountedBpffs, port: plane.port, built: options.network, ready: true });
	log.info({ event: 'cluster_up', port: plane.port, nodes: options.nodes });
	tell({ type: 'ready', port: plane.port });
}

function baseState(options: ClusterOptions): ClusterState {
	const { prefix, nodes, families, network, agents } = options;
	const pidStart = processStart(process.pid) ?? '';
	const own = { pid: process.pid, pidStart, port: 0, mountedBpffs: false, ready: false };
	return { version: 1, prefix, nodes, families, network, agents, ...own };
}

function tell(progress: Progress): void {
	if (process.connected) process.send?.(progress);
}

async function waitForAgents(options: ClusterOptions, plane: ControlPlane): Promise<void> {
	const deadline = Date.now() + AGENTS_TIMEOUT_MS;
	const told = new Set<string>();
	for (;;) {
		const { nodes } = await report(options, plane);
		for (const { name, agent } of nodes) {
			if (!agent?.ready || told.has(name)) continue;
			told.add(name);
			tell({ type: 'step', text: `Agent of ${name} is ready` });
		}
		const waiting = nodes.filter(({ agent }) => !agent?.ready);
		if (waiting.length === 0) return;
		const dead = waiting.find(({ agent }) => (agent?.restarts ?? 0) >= 3);
		if (dead || Date.now() > deadline) {
			const names = waiting.map(({ name }) => name).join(', ');
			throw new Error(`The agents of ${names} do not become ready`);
		}
		await sleep(AGENTS_POLL_MS);
	}
}

/** Serves the status on a unix socket in the state directory. */
async function serveControl(options: ClusterOptions, plane: ControlPlane, paths: Paths): Promise<void> {
	rmSync(paths.controlSocket, { force: true });
	const server = createServer((_request, response) => {
		report(options, plane).then(
			(answer) => response.setHeader('content-type', 'application/json').end(JSON.stringify(answer)),
			(error: Error) => response.writeHead(500).end(error.message),
		);
	});
	// keep the path for the server's lifetime: node:net needs it to remove the socket
	const { path } = socketPath(paths.controlSocket);
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(path, resolve);
	});
	chmodSync(paths.controlSocket, PRIVATE_FILE);
}

function stopOnSignal(plane: ControlPlane, log: pino.Logger): void {
	const stop = (signal: string) => {
		log.info({ event: 'cluster_stopping', signal });
		plane.stop().then(
			() => process.exit(0),
			(err) => {
				log.error({ event: 'cluster_stop_failed', err });
				process.exit(1);
			},
		);
	};
	for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, stop);
	// The terminal that started it may close
	process.on('SIGHUP', () => {});
}

main(JSON.parse(process.argv[2] ?? '{}') as DaemonOptions).catch((error: Error) => {
	console.error(error);
	tell({ type: 'failed', message: error.message });
	process.exitCode = 1;
	// Open handles would keep the process alive
	setTimeout(() => process.exit(1), 100);
});
