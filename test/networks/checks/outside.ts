/** Checks of NodePorts and load balancer addresses from outside. */
import { CLIENT, nodeOf, podOf } from '../../netns/dataplane/topology.ts';
import { type Check, toBalancer, toNodePort } from '../support/check.ts';
import { TARGET_PORT } from '../support/objects.ts';
import type { Family, Spec } from '../support/spec.ts';
import { expectAnswers, expectBulk, expectRefused } from './expectations.ts';

const BULK = 3_000_000;
/** The client address that a backend on another node sees. */
export const sourceOf = (spec: Spec, family: Family): string => (spec.source ?? nodeOf('node1'))[family];
/** The address of an outside client that a backend on node1 sees. */
export const localSourceOf = (spec: Spec, family: Family): string => (spec.localSource ?? CLIENT)[family];

export const OUTSIDE: readonly Check[] = [
	{
		id: 'plain',
		title: "what is no Service's reaches pods and nodes as it did",
		async run(site, { family }) {
			const pods = ['pod1a', 'pod2a'] as const;
			const from = site.spec.masquerade
				? (['bypass1b', 'host'] as const)
				: (['bypass1b', 'host', 'far'] as const);
			for (const vantage of from)
				for (const pod of pods) {
					const to = { address: podOf(pod)[family], port: TARGET_PORT };
					await expectAnswers(site, vantage, to, pod, undefined, ['tcp', 'udp']);
				}
		},
	},
	{
		id: 'nodeport-local',
		title: 'NodePort to a pod here: TCP and UDP, the pod sees the client',
		run: (site, { family }) =>
			expectAnswers(site, 'client', toNodePort('local', family), 'pod1a', localSourceOf(site.spec, family)),
	},
	{
		id: 'nodeport-remote',
		title: 'NodePort to a pod of another node, which sees the source of the way out',
		run: (site, { family }) =>
			expectAnswers(site, 'client', toNodePort('remote', family), 'pod2a', sourceOf(site.spec, family)),
	},
	{
		id: 'balancer',
		title: "a load balancer's address, to pods here and of another node",
		async run(site, { family }) {
			await expectAnswers(
				site,
				'client',
				toBalancer('local', family),
				'pod1a',
				localSourceOf(site.spec, family),
			);
			await expectAnswers(site, 'client', toBalancer('remote', family), 'pod2a');
		},
	},
	{
		id: 'unnamed',
		title: 'endpoints whose slice names no node, asked through their own node and another',
		async run(site, { family }) {
			const to = (node: string) => toNodePort('unnamed', family, node);
			await expectAnswers(site, 'client', to('node1'), 'pod1a', localSourceOf(site.spec, family));
			await expectAnswers(site, 'client', to('node2'), 'pod1a');
		},
	},
	{
		id: 'bulk-local',
		title: 'some MB each way through a NodePort to a pod here',
		run: (site, { family }) => expectBulk(site, 'client', toNodePort('local', family), BULK),
	},
	{
		id: 'bulk-remote',
		title: 'some MB each way through a NodePort to a pod of another node',
		run: (site, { family }) => expectBulk(site, 'client', toNodePort('remote', family), BULK),
	},
	{
		id: 'refused',
		title: 'no backend, and backends where no process listens, are refused at once',
		async run(site, { family }) {
			for (const service of ['none', 'closedLocal', 'closedRemote'] as const)
				await expectRefused(site, 'client', toNodePort(service, family));
		},
	},
];
