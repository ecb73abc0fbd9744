/** The report of `status` about a running cluster. */

import { nodeNamespace } from '../net/names.ts';
import type { Node, Pod } from '../port.ts';
import type { ControlPlane } from './control-plane.ts';
import { agentReady, agentStatus } from './health.ts';
import type { ClusterOptions } from './options.ts';
import { podProblems } from './problems.ts';

export interface NodeReport {
	readonly name: string;
	readonly addresses: readonly string[];
	readonly netns: string;
	readonly pods: number;
	readonly agent:
		| {
				readonly pid: number | undefined;
				readonly ready: boolean;
				readonly restarts: number;
				readonly lastEnd?: string;
		  }
		| undefined;
}

export interface Report {
	readonly pid: number;
	readonly prefix: string;
	readonly server: string;
	readonly network: boolean;
	readonly nodes: readonly NodeReport[];
	readonly pods: number;
	readonly readyPods: number;
	readonly services: number;
	/** Problems of agents, Services and pods, as sentences. */
	readonly problems: readonly string[];
}

export async function report(options: ClusterOptions, plane: ControlPlane): Promise<Report> {
	const { objects } = plane.api;
	const pods = objects.list('pods');
	const asked = objects.list('nodes').map((node) => nodeReport(options, plane, node, pods));
	const nodes = await Promise.all(asked);
	return {
		pid: process.pid,
		prefix: options.prefix,
		server: `https://127.0.0.1:${plane.port}`,
		network: options.network,
		nodes,
		pods: pods.length,
		readyPods: pods.filter(isReady).length,
		services: objects.list('services').length,
		problems: [...(await agentProblems(plane, nodes)), ...podProblems(pods)],
	};
}

/** Problems reported by agents, without duplicates: several agents report the same Service. */
async function agentProblems(plane: ControlPlane, nodes: readonly NodeReport[]): Promise<string[]> {
	const problems = nodes.map(async ({ name, netns, agent }): Promise<string[]> => {
		if (!agent || !plane.switcher) return [];
		if (agent.pid === undefined) return [`Agent of ${name}: ${agent.lastEnd ?? 'is not started'}`];
		if (!agent.ready) return [`Agent of ${name}: is not ready`];
		const status = await agentStatus(plane.switcher, netns);
		return (status?.problems ?? []).map(
			({ object, field, message }) => `${object}${field ? ` ${field}` : ''}: ${message}`,
		);
	});
	return [...new Set((await Promise.all(problems)).flat())];
}

async function nodeReport(
	options: ClusterOptions,
	plane: ControlPlane,
	node: Node,
	pods: readonly Pod[],
): Promise<NodeReport> {
	const { name } = node.metadata;
	const netns = nodeNamespace(options.prefix, name);
	const agent = plane.agents.get(name);
	const addresses = node.status?.addresses ?? [];
	return {
		name,
		addresses: addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
		netns,
		pods: pods.filter((pod) => pod.spec?.nodeName === name).length,
		agent: agent && {
			pid: agent.pid,
			ready:
				plane.switcher !== undefined && agent.pid !== undefined && (await agentReady(plane.switcher, netns)),
			restarts: agent.restarts,
			...(agent.lastEnd === undefined ? {} : { lastEnd: agent.lastEnd }),
		},
	};
}

function isReady(pod: Pod): boolean {
	const conditions = pod.status?.conditions ?? [];
	return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}
