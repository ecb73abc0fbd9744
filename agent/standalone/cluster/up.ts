/** Starts a cluster in the background and waits until it serves. */
import { fork } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Progress } from './daemon.ts';
import { down } from './down.ts';
import type { ClusterOptions } from './options.ts';
import { type Paths, pathsOf } from './paths.ts';
import { isAlive, readState } from './state.ts';
import { ownerOf, remains } from './sweep.ts';

const DAEMON = fileURLToPath(new URL('./daemon.ts', import.meta.url));

export interface UpResult {
	readonly port: number;
	readonly kubeconfig: string;
	/** It ran before: nothing was done. */
	readonly already: boolean;
}

/**
 * @param tell called with each step as it happens. @param signal gives up and removes what was made.
 * @throws Error with the last lines of the control plane's log when it does not come up; what it made is removed.
 */
export async function up(
	options: ClusterOptions,
	tell: (step: string) => void,
	signal?: AbortSignal,
): Promise<UpResult> {
	const paths = pathsOf(options.directory);
	const state = readState(paths.state);
	if (state && isAlive(state) && state.ready) {
		if (state.prefix !== options.prefix)
			throw new Error(`Cannot start ${options.prefix}: ${paths.directory} is in use by ${state.prefix}`);
		return { port: state.port, kubeconfig: paths.kubeconfig, already: true };
	}
	const owner = options.network ? ownerOf(options.prefix) : undefined;
	if (owner !== undefined && owner !== state?.pid)
		throw new Error(
			`Cannot start ${options.prefix}: process ${owner} runs a cluster of that name with another state directory; choose --prefix`,
		);
	if (state || (options.network && remains(options.prefix).length > 0)) {
		tell('Removing what an earlier cluster left');
		await down({ prefix: options.prefix, directory: options.directory });
	}
	mkdirSync(paths.logs, { recursive: true });
	try {
		const port = await startDaemon(options, paths, tell, signal);
		return { port, kubeconfig: paths.kubeconfig, already: false };
	} catch (cause) {
		const said = logTails(paths, options);
		await down({ prefix: options.prefix, directory: options.directory });
		throw new Error(`Cannot start the cluster${said}`, { cause });
	}
}

function startDaemon(
	options: ClusterOptions,
	paths: Paths,
	tell: (step: string) => void,
	signal?: AbortSignal,
): Promise<number> {
	signal?.throwIfAborted();
	const log = openSync(paths.controlPlaneLog, 'w');
	const child = fork(DAEMON, [JSON.stringify({ ...options, directory: paths.directory })], {
		detached: true,
		cwd: '/',
		execArgv: [],
		stdio: ['ignore', log, log, 'ipc'],
	});
	closeSync(log);
	return new Promise((resolve, reject) => {
		let failure: Error | undefined;
		// Only when the process has ended there is nothing that could make more while it is cleaned up
		const giveUp = () => {
			failure = signal?.reason;
			child.kill('SIGKILL');
		};
		signal?.addEventListener('abort', giveUp, { once: true });
		child.once('error', reject);
		child.once('exit', (code, killed) => {
			signal?.removeEventListener('abort', giveUp);
			reject(failure ?? new Error(`The control plane ended with ${killed ?? `status ${code}`}`));
		});
		child.on('message', (progress: Progress) => {
			if (progress.type === 'step') tell(progress.text);
			else if (progress.type === 'failed') failure = new Error(progress.message);
			else {
				signal?.removeEventListener('abort', giveUp);
				child.disconnect();
				child.unref();
				resolve(progress.port);
			}
		});
	});
}

const TAIL_LINES = 12;

function logTails(paths: Paths, options: ClusterOptions): string {
	const files = [paths.controlPlaneLog];
	if (options.agents) files.push(`${paths.logs}/agent-node1.log`);
	return files.map((file) => `\n--- ${file}\n${tail(file)}`).join('');
}

function tail(file: string): string {
	try {
		return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
	} catch {
		return '(no such file)';
	}
}
