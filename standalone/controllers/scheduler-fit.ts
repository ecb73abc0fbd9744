import type { V1NodeSelectorRequirement, V1Taint } from '@kubernetes/client-node';
import type { Json, Node, Pod } from '../port.ts';
import { type Condition, conditionOf, isFinished } from './pod-state.ts';
import { type Labels, matchesLabels, matchesSelector } from './selector.ts';

type Taint = Json<V1Taint>;

/**
 * The reason why the pod cannot run on the node, with kube-scheduler's message; undefined if it
 * can.
 */
export function misfit(pod: Pod, node: Node, others: readonly Pod[]): string | undefined {
	if (node.spec?.unschedulable) return 'node(s) were unschedulable';
	if (conditionOf(node, 'Ready')?.status !== 'True') return 'node(s) were not ready';
	if (!selectsNode(pod, node)) return "node(s) didn't match Pod's node affinity/selector";
	const repelled = repellingTaint(pod, node);
	if (repelled) return `node(s) had untolerated taint {${repelled.key}: ${repelled.value ?? ''}}`;
	if (others.some((other) => portsCollide(pod, other)))
		return "node(s) didn't have free ports for the requested pod ports";
	return undefined;
}

/** Whether the pod's node selection and the node's taints allow the pod on the node. */
export function wantsNode(pod: Pod, node: Node): boolean {
	return selectsNode(pod, node) && !repellingTaint(pod, node);
}

function repellingTaint(pod: Pod, node: Node): Taint | undefined {
	const taints = node.spec?.taints ?? [];
	return taints.find((taint) => taint.effect !== 'PreferNoSchedule' && !tolerates(pod, taint));
}

function selectsNode(pod: Pod, node: Node): boolean {
	if (!matchesLabels(pod.spec?.nodeSelector ?? {}, node.metadata.labels)) return false;
	const affinity = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
	if (!affinity) return true;
	const fields = { 'metadata.name': node.metadata.name };
	return (affinity.nodeSelectorTerms ?? []).some(
		(term) =>
			(term.matchExpressions?.length ?? 0) + (term.matchFields?.length ?? 0) > 0 &&
			everyTerm(term.matchExpressions, node.metadata.labels) &&
			everyTerm(term.matchFields, fields),
	);
}

function everyTerm(
	matchExpressions: Json<V1NodeSelectorRequirement>[] | undefined,
	values: Labels | undefined,
): boolean {
	return !matchExpressions?.length || matchesSelector({ matchExpressions }, values);
}

function tolerates(pod: Pod, taint: Taint): boolean {
	const tolerations = pod.spec?.tolerations ?? [];
	return tolerations.some(
		({ key, operator, value, effect }) =>
			(!effect || effect === taint.effect) &&
			(!key || key === taint.key) &&
			(operator === 'Exists' || (key !== undefined && (value ?? '') === (taint.value ?? ''))),
	);
}

interface HostPort {
	ip: string;
	port: number;
	protocol: string;
}

function portsCollide(pod: Pod, other: Pod): boolean {
	if (isFinished(other)) return false;
	const taken = hostPorts(other);
	return hostPorts(pod).some((wish) =>
		taken.some(
			(have) => wish.port === have.port && wish.protocol === have.protocol && addressesMeet(wish.ip, have.ip),
		),
	);
}

function addressesMeet(a: string, b: string): boolean {
	const any = (ip: string) => ip === '0.0.0.0' || ip === '::';
	return a === b || any(a) || any(b);
}

/** Host ports of a pod. With hostNetwork, all declared container ports count. */
function hostPorts(pod: Pod): HostPort[] {
	const ports: HostPort[] = [];
	for (const container of pod.spec?.containers ?? [])
		for (const { hostPort, containerPort, hostIP, protocol } of container.ports ?? []) {
			const port = hostPort || (pod.spec.hostNetwork ? containerPort : 0);
			if (port) ports.push({ ip: hostIP || '0.0.0.0', port, protocol: protocol ?? 'TCP' });
		}
	return ports;
}

/** The condition of a pod that fits no node. */
export function unschedulable(nodes: number, reasons: readonly string[], at: string): Condition {
	const counts = [...Map.groupBy(reasons, (reason) => reason)].map(
		([reason, all]) => `${all.length} ${reason}`,
	);
	const message = `0/${nodes} nodes are available: ${counts.sort().join(', ') || 'no nodes'}.`;
	return { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: at };
}
