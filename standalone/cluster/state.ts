/** The state from which `down` can remove a cluster whose processes no longer respond. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Family } from '../node/pod-runner.ts';
import { requireOwnState, writePrivate } from './private-files.ts';

export interface ClusterState {
	readonly version: 1;
	readonly prefix: string;
	readonly nodes: number;
	readonly families: readonly Family[];
	/**
	 * Id of the control plane's process. The start time (field 22 of /proc/<pid>/stat) detects reuse
	 * of the id.
	 */
	readonly pid: number;
	readonly pidStart: string;
	/** Port of the API server on loopback; 0 before it listens. */
	readonly port: number;
	readonly network: boolean;
	readonly agents: boolean;
	/** This cluster mounted bpffs. */
	readonly mountedBpffs: boolean;
	readonly ready: boolean;
	/** All namespaces of nodes exist, so a restarted control plane can adopt the network. */
	readonly built?: boolean;
}

/**
 * @throws Error for an unknown file version, and for a directory that another user may have
 * prepared.
 */
export function readState(file: string): ClusterState | undefined {
	requireOwnState(dirname(file));
	let text: string;
	try {
		text = readFileSync(file, 'utf8');
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
		throw error;
	}
	const state = JSON.parse(text) as ClusterState;
	if (state.version !== 1) throw new Error(`Cannot read ${file}: version ${state.version} is not known`);
	return state;
}

/** Writes the file atomically, with a rename. */
export function writeState(file: string, state: ClusterState): void {
	writePrivate(file, `${JSON.stringify(state, undefined, '\t')}\n`);
}

export function removeState(file: string): void {
	rmSync(file, { force: true });
}

/**
 * The start time of a process, in ticks after boot. Undefined if it does not exist or has ended.
 */
export function processStart(pid: number): string | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
		// The name in parentheses may contain spaces; field 3, the state, follows it
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return fields[0] === 'Z' ? undefined : fields[19];
	} catch {
		return undefined;
	}
}

/** Whether the control plane's process is running. */
export function isAlive(state: ClusterState): boolean {
	return processStart(state.pid) === state.pidStart;
}
