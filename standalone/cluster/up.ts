/** Starts or resumes a cluster in the background and waits until it is ready. */
import { fork } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { netnsExists } from '../../agent/bpf/netns.ts';
import { clientNamespace, nodeName, nodeNamespace } from '../net/names.ts';
import type { Progress } from './daemon.ts';
import { down } from './down.ts';
import type { ClusterOptions, DaemonOptions } from './options.ts';
import { type Paths, pathsOf } from './paths.ts';
import { openStateDirectory, PRIVATE_DIRECTORY, touchPrivate } from './private-files.ts';
import { type ClusterState, isAlive, readState } from './state.ts';
import { ownerOf, remains, sweep } from './sweep.ts';

const DAEMON = fileURLToPath(new URL('./daemon.ts', import.meta.url));

export interface UpResult {
	readonly port: number;
	readonly kubeconfig: string;
	/** The cluster was already running. */
	readonly already: boolean;
}

/**
 * Calls `tell` with each step.
 * @param signal aborts the start and removes its results.
 * @throws Error with the last lines of the control plane's log if the start fails. A failed new
 * cluster is removed.
 */
export async function up(
	options: ClusterOptions,
	tell: (step: string) => void,
	signal?: AbortSignal,
): Promise<UpResult> {
	const paths = pathsOf(options.directory);
	const state = readState(paths.state);
	if (state && isAlive(state)) {
		if (state.prefix !== options.prefix)
			throw new Error(`Cannot start ${options.prefix}: ${paths.directory} is in use by ${state.prefix}`);
		if (state.ready) return { port: state.port, kubeconfig: paths.kubeconfig, already: true };
		throw new Error(
			`Cannot start ${options.prefix}: process ${state.pid} is about to; wait for it, or end it with "maglane standalone down"`,
		);
	}
	const owner = options.network ? ownerOf(options.prefix) : undefined;
	if (owner !== undefined && owner !== state?.pid)
		throw new Error(
			`Cannot start ${options.prefix}: process ${owner} runs a cluster of that name with another state directory; choose --prefix`,
		);
	openStateDirectory(
		paths.directory,
		Object.values(paths).map((path) => basename(path)),
	);
	const resumes = existsSync(paths.database);
	const adopt = resumes ? await prepareResume(options, paths, state, tell) : false;
	if (!resumes && (state || (options.network && remains(options.prefix).length > 0))) {
		tell('Removing what an earlier cluster left');
		await down({ prefix: options.prefix, directory: options.directory });
	}
	mkdirSync(paths.logs, { recursive: true, mode: PRIVATE_DIRECTORY });
	for (const file of [paths.controlPlaneLog, paths.database]) touchPrivate(file);
	try {
		const lastPort = resumes ? (state?.port ?? 0) : 0;
		const started = { ...options, directory: paths.directory, adopt, lastPort };
		const port = await startDaemon(started, paths, tell, signal);
		return { port, kubeconfig: paths.kubeconfig, already: false };
	} catch (cause) {
		const said = logTails(paths, options);
		// Keep acknowledged objects for the next attempt
		if (!resumes) await down({ prefix: options.prefix, directory: options.directory });
		throw new Error(`Cannot start the cluster${said}`, { cause });
	}
}

/**
 * Prepares the start after a control plane that ended without "down". A complete network is adopted
 * and continues to forward traffic. An incomplete one is removed, and the new control plane creates
 * it again for the same objects.
 * @returns whether the network is complete.
 */
async function prepareResume(
	options: ClusterOptions,
	paths: Paths,
	state: ClusterState | undefined,
	tell: (step: string) => void,
): Promise<boolean> {
	const differs = state ? differences(options, state) : [];
	if (differs.length > 0)
		throw new Error(
			`Cannot start with the objects in ${paths.database}: they are of a cluster with ${differs.join(' ')}; give the same, or remove it with "maglane standalone down"`,
		);
	tell(`Continuing with the objects in ${paths.database}`);
	if (!options.network) return false;
	const whole = state?.built === true && isWhole(options);
	if (!whole && remains(options.prefix).length > 0) {
		tell('Removing what is left of its network');
		await sweep(options.prefix, false);
	}
	return whole;
}

/** Flags of the stored cluster that differ from the current options. */
function differences(options: ClusterOptions, state: ClusterState): string[] {
	const flags = (of: ClusterOptions | ClusterState) => [
		`--prefix ${of.prefix}`,
		`--nodes ${of.nodes}`,
		`--families ${of.families.join()}`,
		of.network ? '--net' : '--no-net',
	];
	const now = flags(options);
	return flags(state).filter((flag, at) => flag !== now[at]);
}

function isWhole({ prefix, nodes }: ClusterOptions): boolean {
	const names = Array.from({ length: nodes }, (_, i) => nodeNamespace(prefix, nodeName(i + 1)));
	return [clientNamespace(prefix), ...names].every(netnsExists);
}

function startDaemon(
	options: DaemonOptions,
	paths: Paths,
	tell: (step: string) => void,
	signal?: AbortSignal,
): Promise<number> {
	signal?.throwIfAborted();
	const log = openSync(paths.controlPlaneLog, 'w');
	const child = fork(DAEMON, [JSON.stringify(options)], {
		detached: true,
		cwd: '/',
		execArgv: [],
		stdio: ['ignore', log, log, 'ipc'],
	});
	closeSync(log);
	return new Promise((resolve, reject) => {
		let failure: Error | undefined;
		// Only after its exit is the process unable to create more objects during the cleanup
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
