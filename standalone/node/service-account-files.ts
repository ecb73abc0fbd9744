/** Files of a service account for a pod's programs (kubelet, projected volume kube-api-access). */
import { chmodSync, existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Pod } from '../port.ts';

export interface ServiceAccountFiles {
	readonly token: string;
	/** PEM. */
	readonly authority: string;
	readonly namespace: string;
}

/** @returns a pod's files; undefined if it needs none; a string with the reason of a failure. */
export type ServiceAccountSource = (pod: Pod) => Promise<ServiceAccountFiles | undefined | string>;

/** /var/run is a symbolic link to /run. */
const TARGET = '/run/secrets/kubernetes.io/serviceaccount';
const PUBLIC_FILE = 0o644;
const PUBLIC_DIRECTORY = 0o755;

const sourceOf = (podDirectory: string): string => join(podDirectory, 'serviceaccount');

/** Writes a file that the pod's programs can read under any user id, regardless of the umask. */
export function writePublic(file: string, text: string): void {
	writeFileSync(file, text);
	chmodSync(file, PUBLIC_FILE);
}

/** @param podDirectory directory of the pod's own files. */
export function writeServiceAccount(podDirectory: string, files: ServiceAccountFiles | undefined): void {
	const directory = sourceOf(podDirectory);
	if (!files) {
		rmSync(directory, { recursive: true, force: true });
		return;
	}
	mkdirSync(directory, { recursive: true });
	chmodSync(directory, PUBLIC_DIRECTORY);
	writePublic(join(directory, 'token'), files.token);
	writePublic(join(directory, 'ca.crt'), files.authority);
	writePublic(join(directory, 'namespace'), files.namespace);
}

/** @returns the mount of the files from writeServiceAccount(); empty if there are none. */
export function serviceAccountMount(podDirectory: string): (readonly [source: string, target: string])[] {
	const source = sourceOf(podDirectory);
	return existsSync(source) ? [[source, TARGET]] : [];
}

/** Removes the empty mount point directories of pods from the machine. */
export function removeServiceAccountMounts(): void {
	for (let directory = TARGET; directory !== '/run'; directory = dirname(directory)) {
		try {
			rmdirSync(directory);
		} catch {
			return; // it does not exist, or it contains other files
		}
	}
}
