/** What `down` must know of a cluster when nothing of it answers any more. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Family } from '../node/pod-runner.ts';
import { requireOwnState, writePrivate } from './private-files.ts';

export interface ClusterState {
	readonly version: 1;
	readonly prefix: string;
	readonly nodes: number;
	readonly families: readonly Family[];
	/** Of the control plane process, with its start time (field 22 of /proc/<pid>/stat) against reuse of the id. */
	readonly pid: number;
	readonly pidStart: string;
	/** Port of the API server on loopback; 0 until it listens. */
	readonly port: number;
	readonly network: boolean;
	readonly agents: boolean;
	/** bpffs was not mounted before. */
	readonly mountedBpffs: boolean;
	readonly ready: boolean;
	/** All namespaces of nodes were made: a control plane that starts again finds a whole network. */
	readonly built?: boolean;
}

/** @throws Error for a file of an unknown version, and for a directory that another user has prepared. */
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

/** Whole or not at all: by a rename. */
export function writeState(file: string, state: ClusterState): void {
	writePrivate(file, `${JSON.stringify(state, undefined, '\t')}\n`);
}

export function removeState(file: string): void {
	rmSync(file, { force: true });
}

/** Ticks after boot at which a process started, or undefined when there is none or it has ended. */
export function processStart(pid: number): string | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
		// The name in parentheses may hold blanks; field 3, the state, follows it
		const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
		return fields[0] === 'Z' ? undefined : fields[19];
	} catch {
		return undefined;
	}
}

/** Whether the control plane process of the state runs. */
export function isAlive(state: ClusterState): boolean {
	return processStart(state.pid) === state.pidStart;
}
