/**
 * Places of the files that a pod's processes see instead of the machine's, and of the pod's logs.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../port.ts';
import { type DnsFacts, hostsFile, kernelHostname, resolvConf } from './pod-files.ts';
import {
	type ServiceAccountFiles,
	serviceAccountMount,
	writePublic,
	writeServiceAccount,
} from './service-account-files.ts';
import type { PodView } from './spawn.ts';

const HOSTS = '/etc/hosts';
const RESOLV_CONF = '/etc/resolv.conf';

/** @param directory of all pods' files. @returns the view that preparePodView() has created. */
export function podView(directory: string, pod: Pod, zone: string): PodView {
	const own = join(directory, pod.metadata.uid ?? '');
	return {
		hostname: kernelHostname(pod, zone),
		mounts: [
			[join(own, 'hosts'), HOSTS],
			[join(own, 'resolv.conf'), RESOLV_CONF],
			...serviceAccountMount(own),
		],
	};
}

/** Writes the files of podView(). */
export function preparePodView(
	directory: string,
	pod: Pod,
	podIPs: readonly string[],
	dns: DnsFacts,
	account: ServiceAccountFiles | undefined,
): PodView {
	const own = join(directory, pod.metadata.uid ?? '');
	mkdirSync(own, { recursive: true });
	writePublic(join(own, 'hosts'), hostsFile(pod, podIPs, dns.zone, readOr(HOSTS)));
	writePublic(join(own, 'resolv.conf'), resolvConf(pod, dns, readOr(RESOLV_CONF)));
	writeServiceAccount(own, account);
	return podView(directory, pod, dns.zone);
}

export function removePodView(directory: string, pod: Pod): void {
	rmSync(join(directory, pod.metadata.uid ?? ''), { recursive: true, force: true });
}

function readOr(file: string): string {
	try {
		return readFileSync(file, 'utf8');
	} catch {
		return '';
	}
}

/** Log directory of a pod. As on a node, each pod has a directory and each container run a file. */
export function podLogDirectory(logDirectory: string, { metadata }: Pod): string {
	return join(logDirectory, `${metadata.namespace}_${metadata.name}_${metadata.uid}`);
}

export function containerLog(logDirectory: string, pod: Pod, container: string, restarts: number): string {
	return join(podLogDirectory(logDirectory, pod), container, `${restarts}.log`);
}
