/** Stops a cluster and removes everything of it, its objects too, also when its control plane was killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { removeServiceAccountMounts } from '../node/service-account-files.ts';
import { databaseFiles, pathsOf } from './paths.ts';
import { type ClusterState, isAlive, readState } from './state.ts';
import { removeFiles, type Swept, sweep } from './sweep.ts';

const GRACE_MS = 10_000;
const POLL_MS = 50;

export interface DownResult extends Swept {
	/** The control plane ran and ended by itself. */
	readonly stopped: boolean;
}

/** @param cluster prefix to sweep where no state file says which; the state directory. */
export async function down(cluster: { prefix: string; directory: string }): Promise<DownResult> {
	const paths = pathsOf(cluster.directory);
	const state = readState(paths.state);
	const stopped = state !== undefined && (await stop(state));
	// Without network there was nothing to sweep, and perhaps no right to
	const privileged = state?.network ?? process.getuid?.() === 0;
	const swept = privileged
		? await sweep(state?.prefix ?? cluster.prefix, state?.mountedBpffs ?? false)
		: { processes: 0, namespaces: [], pins: 0, cgroup: undefined, bpffs: false };
	removeFiles([
		paths.kubeconfig,
		paths.nodes,
		paths.pki,
		paths.controlSocket,
		paths.podServerSocket,
		...databaseFiles(paths),
		paths.pods,
		paths.state,
		`${paths.state}.new`,
	]);
	if (privileged) removeServiceAccountMounts();
	return { ...swept, stopped };
}

/** @returns whether the process was there. */
async function stop(state: ClusterState): Promise<boolean> {
	if (!isAlive(state)) return false;
	process.kill(state.pid, 'SIGTERM');
	for (let waited = 0; isAlive(state); waited += POLL_MS) {
		if (waited === GRACE_MS) process.kill(state.pid, 'SIGKILL');
		if (waited >= 2 * GRACE_MS)
			throw new Error(`Cannot stop the control plane: process ${state.pid} does not end`);
		await sleep(POLL_MS);
	}
	return true;
}

/** In words, one line each; empty when there was nothing. */
export function describeDown(result: DownResult): string[] {
	const lines: string[] = [];
	if (result.stopped) lines.push('stopped the control plane');
	if (result.processes > 0) lines.push(`ended ${result.processes} processes`);
	if (result.pins > 0) lines.push(`removed ${result.pins} pinned maps, programs and links`);
	if (result.namespaces.length > 0) lines.push(`removed ${result.namespaces.length} network namespaces`);
	if (result.cgroup !== undefined) lines.push(`removed cgroup ${result.cgroup}`);
	if (result.refused !== undefined) lines.push(`left the pins: ${result.refused}; remove it by hand`);
	if (result.bpffs) lines.push('unmounted bpffs');
	return lines;
}
