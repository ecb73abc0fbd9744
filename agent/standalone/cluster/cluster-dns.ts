/** DNS of a standalone cluster: the Service that pods ask. Each node's agent is its backend there, so it has no endpoints. */
import { CLUSTER_DNS } from '../net/addresses.ts';
import type { Family } from '../node/pod-runner.ts';
import type { KubeObject, ObjectApi } from '../port.ts';

/** Address ranges of which nobody outside this machine knows names. */
export const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];

function dnsService(families: readonly Family[]): KubeObject {
	const clusterIPs = families.map((family) => CLUSTER_DNS[family]);
	const port = (name: string, protocol: string) => ({ name, port: 53, protocol, targetPort: 53 });
	return {
		metadata: {
			name: 'kube-dns',
			namespace: 'kube-system',
			labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/name': 'CoreDNS' },
		},
		spec: {
			clusterIP: clusterIPs[0],
			clusterIPs,
			ipFamilies: families.map((family) => (family === 'v4' ? 'IPv4' : 'IPv6')),
			ipFamilyPolicy: families.length > 1 ? 'RequireDualStack' : 'SingleStack',
			ports: [port('dns', 'UDP'), port('dns-tcp', 'TCP')],
		},
	};
}

/** A cluster has this Service from its start; who deletes it has a cluster without DNS until the next. */
export function createClusterDns(objects: ObjectApi, families: readonly Family[]): void {
	if (!objects.get('services', 'kube-system', 'kube-dns')) objects.create('services', dnsService(families));
}
