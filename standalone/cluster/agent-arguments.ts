/** Builds the arguments of a node's agent: the shipped agent with this node's paths. */
import { dirname, join } from 'node:path';
import type { Cgroups } from './cgroups.ts';
import { BPFFS } from './mounts.ts';
import { nodeKubeconfig, type Paths } from './paths.ts';

export const HEALTH_PORT = 10256;
export const METRICS_PORT = 10249;

export function agentArguments(prefix: string, node: string, paths: Paths, cgroups: Cgroups): string[] {
	return [
		'agent',
		`--node-name=${node}`,
		`--kubeconfig=${nodeKubeconfig(paths, node)}`,
		`--pin-path=${join(BPFFS, prefix, node)}`,
		`--cgroup=${cgroups.node(node)}`,
		// Processes that users start in the node's namespace by other means are in the root cgroup
		`--host-cgroup=${dirname(cgroups.root)}`,
		'--socket-lb=labels',
		'--xdp=native',
		'--host-ports=on',
		// users often ping a Service first
		'--answer-echo=on',
		`--health-address=:${HEALTH_PORT}`,
		`--metrics-address=127.0.0.1:${METRICS_PORT}`,
		`--bpf-cache=${paths.bpfCache}`,
	];
}
