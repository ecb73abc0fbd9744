/**
 * Builds the Node objects of the standalone cluster: address families, a zone and properties of the
 * real machine.
 */
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, release, totalmem } from 'node:os';
import type { V1NodeCondition, V1NodeSystemInfo } from '@kubernetes/client-node';
import { nodeAddresses, podSubnets } from '../net/addresses.ts';
import { nodeName } from '../net/names.ts';
import type { Json, Node } from '../port.ts';
import type { Family } from './pod-runner.ts';

const MAX_PODS = 110;

/** @param now RFC 3339 time for the conditions. */
export function nodeObject(number: number, zone: string, families: readonly Family[], now: string): Node {
	const name = nodeName(number);
	const addresses = nodeAddresses(number);
	const subnets = podSubnets(number);
	const podCIDRs = families.map((family) => subnets[family]);
	const resources = {
		cpu: String(availableParallelism()),
		memory: `${Math.floor(totalmem() / 1024)}Ki`,
		pods: `${MAX_PODS}`,
	};
	return {
		apiVersion: 'v1',
		kind: 'Node',
		metadata: { name, labels: labels(name, zone) },
		spec: { podCIDR: podCIDRs[0]!, podCIDRs },
		status: {
			addresses: [
				...families.map((family) => ({ type: 'InternalIP', address: addresses[family] })),
				{ type: 'Hostname', address: name },
			],
			capacity: resources,
			allocatable: resources,
			conditions: conditions(now),
			nodeInfo: nodeInfo(name),
			daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
		},
	};
}

function labels(name: string, zone: string): Record<string, string> {
	return {
		'kubernetes.io/hostname': name,
		'kubernetes.io/os': 'linux',
		'kubernetes.io/arch': goArch(),
		'topology.kubernetes.io/zone': zone,
		'topology.kubernetes.io/region': 'standalone',
	};
}

function conditions(now: string): Json<V1NodeCondition>[] {
	const quiet = (type: string, reason: string) => ({ type, status: 'False', reason, message: '' });
	return [
		quiet('MemoryPressure', 'NotMeasured'),
		quiet('DiskPressure', 'NotMeasured'),
		quiet('PIDPressure', 'NotMeasured'),
		{ type: 'Ready', status: 'True', reason: 'StandaloneNodeReady', message: 'The network namespace is up' },
	].map((condition) => ({ ...condition, lastHeartbeatTime: now, lastTransitionTime: now }));
}

function nodeInfo(name: string): Json<V1NodeSystemInfo> {
	return {
		machineID: readLine('/etc/machine-id') || name,
		systemUUID: name,
		bootID: readLine('/proc/sys/kernel/random/boot_id'),
		kernelVersion: release(),
		osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(readText('/etc/os-release'))?.[1] ?? 'Linux',
		containerRuntimeVersion: 'maglane://standalone',
		kubeletVersion: 'v1.32.0',
		kubeProxyVersion: '',
		operatingSystem: 'linux',
		architecture: goArch(),
	};
}

function goArch(): string {
	return arch() === 'x64' ? 'amd64' : arch();
}

function readLine(path: string): string {
	return readText(path).trim();
}

function readText(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
