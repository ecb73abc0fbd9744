import type { Node, Pod } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import type { ControllerContext } from './context.ts';
import { byName, isTerminating, keyOf } from './meta.ts';
import { type Condition, conditionOf, isFinished } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { misfit, unschedulable } from './scheduler-fit.ts';

const DEFAULT_SCHEDULER = 'default-scheduler';

/** Binds each pod to the fitting node with the fewest pods. Of equal nodes, the first by name. */
export function startScheduler(ctx: ControllerContext): WorkQueue {
	const { pods, nodes } = ctx.caches;
	const queue = ctx.queue('scheduler', (key) => {
		const pod = pods.get(key);
		if (pod && isWaiting(pod)) schedule(ctx, pod);
	});
	const retry = () => {
		for (const pod of pods.by('node', '')) if (isWaiting(pod)) queue.add(keyOf(pod));
	};
	pods.subscribe((before, after) => {
		if (after && isWaiting(after)) queue.add(keyOf(after));
		if (before?.spec?.nodeName && !after) retry();
	});
	nodes.subscribe((before, after) => {
		if (after && (!before || nodeChanged(before, after))) retry();
	});
	return queue;
}

function isWaiting(pod: Pod): boolean {
	const scheduler = pod.spec?.schedulerName ?? DEFAULT_SCHEDULER;
	const gates = pod.spec?.schedulingGates ?? [];
	return (
		!pod.spec?.nodeName &&
		scheduler === DEFAULT_SCHEDULER &&
		gates.length === 0 &&
		!isTerminating(pod) &&
		!isFinished(pod)
	);
}

/** Whether a change of a node can affect waiting pods. A heartbeat does not. */
function nodeChanged(before: Node, after: Node): boolean {
	const relevant = (node: Node) =>
		JSON.stringify([node.metadata.labels, node.spec, conditionOf(node, 'Ready')?.status]);
	return relevant(before) !== relevant(after);
}

function schedule(ctx: ControllerContext, pod: Pod): void {
	const { pods } = ctx.caches;
	const nodes = [...ctx.caches.nodes.all()].sort(byName);
	const reasons: string[] = [];
	let best: { node: Node; load: number } | undefined;
	for (const node of nodes) {
		const load = pods.countBy('node', node.metadata.name);
		if (best && best.load <= load) continue;
		const reason = misfit(pod, node, hasHostPort(pod) ? pods.by('node', node.metadata.name) : []);
		if (reason) reasons.push(reason);
		else best = { node, load };
	}
	if (best) bind(ctx, pod, best.node.metadata.name);
	else refuse(ctx, pod, unschedulable(nodes.length, reasons, timestamp(ctx.clock.now())));
}

function refuse(ctx: ControllerContext, pod: Pod, condition: Condition): void {
	if (!setScheduled(ctx, pod, condition)) return;
	const { message = '' } = condition;
	ctx.record(pod, { component: DEFAULT_SCHEDULER, type: 'Warning', reason: 'FailedScheduling', message });
}

function hasHostPort(pod: Pod): boolean {
	const containers = pod.spec?.containers ?? [];
	return pod.spec?.hostNetwork || containers.some(({ ports }) => ports?.some(({ hostPort }) => hostPort));
}

function bind(ctx: ControllerContext, pod: Pod, nodeName: string): void {
	const bound = ctx.caches.pods.update({ ...pod, spec: { ...pod.spec, nodeName } });
	const message = `Successfully assigned ${keyOf(bound)} to ${nodeName}`;
	ctx.record(bound, { component: DEFAULT_SCHEDULER, reason: 'Scheduled', message });
	const stored = ctx.caches.pods.get(keyOf(bound));
	const lastTransitionTime = timestamp(ctx.clock.now());
	if (stored) setScheduled(ctx, stored, { type: 'PodScheduled', status: 'True', lastTransitionTime });
}

/** @returns whether the condition has changed. */
function setScheduled(ctx: ControllerContext, pod: Pod, condition: Condition): boolean {
	const before = conditionOf(pod, 'PodScheduled');
	if (before?.status === condition.status && before.message === condition.message) return false;
	const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled');
	const status = { ...pod.status, conditions: [...others, condition] };
	ctx.caches.pods.update({ ...pod, status }, 'status');
	return true;
}
