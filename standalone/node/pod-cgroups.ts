/**
 * The cgroups of a pod, with a kubelet's names. By these names, the agent recognizes pods whose
 * sockets it leaves alone. One holds the pod's programs, which a new control plane kills. The other
 * holds commands of users in the pod, which it does not kill.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Pod } from '../port.ts';

export interface PodCgroups {
	readonly programs: string;
	readonly users: string;
}

/** @param programs directory for the programs of the node's pods */
export function podCgroups(programs: string, { metadata }: Pod): PodCgroups {
	const name = `pod${metadata.uid}`;
	return { programs: join(programs, name), users: join(dirname(programs), 'exec', name) };
}

/** Call it before any process of the pod starts. */
export function makePodCgroups({ programs, users }: PodCgroups): void {
	for (const directory of [programs, users]) mkdirSync(directory, { recursive: true });
}

/** Removes the cgroups without processes. Others are removed with the cluster. */
export function removePodCgroups({ programs, users }: PodCgroups): void {
	for (const directory of [programs, users]) {
		try {
			if (existsSync(directory)) rmdirSync(directory);
		} catch {
			// EBUSY
		}
	}
}
