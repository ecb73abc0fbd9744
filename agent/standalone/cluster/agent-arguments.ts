/** The command line of a node's agent: the shipped agent, told where this node's things are. */
import { dirname, join } from 'node:path';
import type { Cgroups } from './cgroups.ts';
import { PRIVATE_RANGES } from './cluster-dns.ts';
import { BPFFS } from './mounts.ts';
import { nodeKubeconfig, type Paths } from './paths.ts';

export const HEALTH_PORT = 10256;
export const METRICS_PORT = 10249;
/** At the node's addresses, where the Service kube-dns leads its pods. */
const DNS_PORT = 10253;

export function agentArguments(prefix: string, node: string, paths: Paths, cgroups: Cgroups): string[] {
	return [
		'agent',
		`--node-name=${node}`,
		`--kubeconfig=${nodeKubeconfig(paths, node)}`,
		`--pin-path=${join(BPFFS, prefix, node)}`,
		`--cgroup=${cgroups.node(node)}`,
		// Programs that a user starts in the node's namespace by other means are in the root cgroup
		`--host-cgroup=${dirname(cgroups.root)}`,
		'--xdp=native',
		'--host-ports=on',
		// who tries a Service pings it first
		'--answer-echo=on',
		`--health-address=0.0.0.0:${HEALTH_PORT}`,
		`--metrics-address=127.0.0.1:${METRICS_PORT}`,
		`--dns=:${DNS_PORT}`,
		// no way leads out of the cluster, so nobody out there can be asked
		'--dns-upstream=off',
		`--dns-reverse=${PRIVATE_RANGES.join()}`,
		`--bpf-cache=${paths.bpfCache}`,
	];
}
