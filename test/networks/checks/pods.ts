/** Checks with pods and the node as clients. */
import { nodeOf, podOf } from '../../netns/dataplane/topology.ts';
import { type Check, OUTSIDE_PORT, toBalancer, toClusterIp, toNodePort } from '../support/check.ts';
import { FAR } from '../support/lab.ts';
import { nodePort } from '../support/objects.ts';
import { expectAnswers, expectBulk, expectRefused } from './expectations.ts';

const BULK = 3_000_000;
const BACKENDS = [
	['local', 'pod1a'],
	['remote', 'pod2a'],
] as const;

export const CLUSTER_CLIENTS: readonly Check[] = [
	{
		id: 'pod-sockets',
		title: 'a pod reaches ClusterIPs by its sockets, with its own address',
		async run(site, { family }) {
			for (const [service, pod] of BACKENDS)
				await expectAnswers(site, 'pod1b', toClusterIp(service, family), pod, podOf('pod1b')[family]);
		},
	},
	{
		id: 'pod-packets',
		title: 'a pod whose sockets are not ours reaches ClusterIPs, with its own address',
		async run(site, { family }) {
			for (const [service, pod] of BACKENDS)
				await expectAnswers(site, 'bypass1b', toClusterIp(service, family), pod, podOf('pod1b')[family]);
		},
	},
	{
		id: 'pod-bulk',
		title: 'some MB each way between a pod and ClusterIPs, by packets',
		async run(site, { family }) {
			for (const [service] of BACKENDS)
				await expectBulk(site, 'bypass1b', toClusterIp(service, family), BULK);
		},
	},
	{
		id: 'pod-refused',
		title: 'a pod is refused at once where there is no backend or no listener',
		async run(site, { family }) {
			for (const service of ['none', 'closedRemote'] as const)
				await expectRefused(site, 'pod1b', toClusterIp(service, family));
		},
	},
	{
		id: 'pod-nodeports',
		title: "a pod reaches NodePorts of its node and of another, and load balancers' addresses",
		async run(site, { family }) {
			for (const [service, pod] of BACKENDS) {
				await expectAnswers(site, 'pod1b', toNodePort(service, family), pod);
				await expectAnswers(site, 'pod1b', toNodePort(service, family, 'node2'), pod);
				await expectAnswers(site, 'pod1b', toBalancer(service, family), pod);
			}
		},
	},
	{
		id: 'hairpin-sockets',
		title: 'a pod reaches itself by its Service',
		run: (site, { family }) => expectAnswers(site, 'pod1a', toClusterIp('local', family), 'pod1a'),
	},
	{
		id: 'hairpin-packets',
		title: 'a pod whose sockets are not ours reaches itself by its Service',
		run: (site, { family }) => expectAnswers(site, 'bypass1a', toClusterIp('local', family), 'pod1a'),
	},
	{
		id: 'host',
		title: 'the node reaches ClusterIPs, NodePorts at its address and at loopback',
		async run(site, { family }) {
			for (const [service, pod] of BACKENDS) {
				const { port } = toNodePort(service, family);
				const loopback = { address: family === 'v4' ? '127.0.0.1' : '::1', port };
				for (const to of [toClusterIp(service, family), toNodePort(service, family), loopback])
					await expectAnswers(site, 'host', to, pod);
			}
		},
	},
	{
		id: 'egress-node',
		title: "the node's own flows to the outside, from the number of a NodePort",
		run: (site, { family, mode }) => {
			const to = { address: FAR[family], port: OUTSIDE_PORT[mode], localPort: nodePort('local') };
			return expectAnswers(site, 'host', to, 'far', nodeOf('node1')[family]);
		},
	},
	{
		id: 'egress-pod',
		title: "a pod's flows to the outside, from the number of a NodePort",
		run: (site, { family, mode }) => {
			const to = { address: FAR[family], port: OUTSIDE_PORT[mode], localPort: nodePort('local') };
			const seen = site.spec.masquerade ? nodeOf('node1') : podOf('pod1b');
			return expectAnswers(site, 'bypass1b', to, 'far', seen[family]);
		},
	},
];
