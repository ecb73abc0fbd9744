/** Files of a service account as a pod's programs find them (kubelet, projected volume kube-api-access). */
import { chmodSync, existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { KubeObject } from '../port.ts';

export interface ServiceAccountFiles {
	readonly token: string;
	/** PEM. */
	readonly authority: string;
	readonly namespace: string;
}

/** @returns a pod's files; undefined for a pod that wants none; why they cannot be made. */
export type ServiceAccountSource = (pod: KubeObject) => Promise<ServiceAccountFiles | undefined | string>;

/** /var/run is a symbolic link to it. */
const TARGET = '/run/secrets/kubernetes.io/serviceaccount';
const PUBLIC_FILE = 0o644;
const PUBLIC_DIRECTORY = 0o755;

const sourceOf = (podDirectory: string): string => join(podDirectory, 'serviceaccount');

/** Writes a file that programs of the pod read under any user id, whatever the umask is. */
export function writePublic(file: string, text: string): void {
	writeFileSync(file, text);
	chmodSync(file, PUBLIC_FILE);
}

/** @param podDirectory of the pod's own files. */
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

/** @returns the mount of what writeServiceAccount() has written; none where it wrote nothing. */
export function serviceAccountMount(podDirectory: string): (readonly [source: string, target: string])[] {
	const source = sourceOf(podDirectory);
	return existsSync(source) ? [[source, TARGET]] : [];
}

/** Takes away the empty directories that the mounts of pods needed on the machine. */
export function removeServiceAccountMounts(): void {
	for (let directory = TARGET; directory !== '/run'; directory = dirname(directory)) {
		try {
			rmdirSync(directory);
		} catch {
			return; // not there, or another's
		}
	}
}
