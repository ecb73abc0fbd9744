/**
 * Stops a cluster and removes all its parts, including its objects. Also works after its control
 * plane was killed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { removeServiceAccountMounts } from '../node/service-account-files.ts';
import { databaseFiles, pathsOf } from './paths.ts';
import { type ClusterState, isAlive, readState } from './state.ts';
import { removeFiles, type Swept, sweep } from './sweep.ts';

const GRACE_MS = 10_000;
const POLL_MS = 50;

export interface DownResult extends Swept {
	/** Whether the control plane was running and has ended. */
	readonly stopped: boolean;
}

/** @param cluster the state directory, and the prefix to sweep if there is no state file. */
export async function down(cluster: { prefix: string; directory: string }): Promise<DownResult> {
	const paths = pathsOf(cluster.directory);
	const state = readState(paths.state);
	const stopped = state !== undefined && (await stop(state));
	// Without network there is nothing to sweep, and the user may lack the privileges
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

/** @returns whether the process was running. */
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

/** One line of text for each removed part; empty if there was nothing to remove. */
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
