import type { ControllerRevision, DaemonSet, Node, Pod } from '../port.ts';
import { claim, followOwned } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { nodeState, planRollout, rolloutLimits } from './daemonset-rollout.ts';
import { byName, isTerminating, keyOf } from './meta.ts';
import { createPod, deletePod, podFromTemplate } from './pod-control.ts';
import { isAvailable, isFinished, isReady, nextAvailability } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { currentRevision, pruneRevisions, REVISION_LABEL, revisionsOf } from './revisions.ts';
import { wantsNode } from './scheduler-fit.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'DaemonSet' };

/** Tolerations of every daemon pod (kube-controller-manager, pkg/controller/daemon/util). */
const TOLERATIONS = [
	{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
	{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
	{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];

/**
 * DaemonSet -> one pod on every node that fits its template. The controller sets the node itself,
 * without the scheduler.
 */
export function startDaemonSets(ctx: ControllerContext): WorkQueue {
	const { daemonsets, nodes } = ctx.caches;
	const queue = ctx.queue('daemonset', (key) => {
		const set = daemonsets.get(key);
		if (!set || isTerminating(set)) return;
		const revisions = revisionsOf(ctx, set, KIND);
		const revision = hashOf(currentRevision(ctx, set, KIND, revisions));
		const claimed = claim(ctx.caches.pods, set, KIND).filter((pod) => !isFinished(pod));
		const wanted = wantedNodes(ctx, set, revision);
		place(ctx, set, { wanted, claimed, revision });
		const pods = ctx.caches.pods.by('owner', set.metadata.uid!);
		writeStatus(ctx, key, { wanted, claimed: pods, revision });
		const used = new Set([revision, ...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL])]);
		pruneRevisions(ctx, set, revisions, (old) => used.has(hashOf(old)));
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	daemonsets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followOwned(ctx.caches.pods, KIND, daemonsets, queue.add);
	nodes.subscribe((before, after) => {
		const relevant = (node?: Node) => JSON.stringify([node?.metadata.labels, node?.spec]);
		if (relevant(before) !== relevant(after)) for (const set of daemonsets.all()) queue.add(keyOf(set));
	});
	return queue;
}

function hashOf(revision: ControllerRevision): string {
	return revision.metadata.labels?.[REVISION_LABEL] ?? '';
}

interface Placement {
	/** Names of the nodes that need a pod. */
	wanted: ReadonlySet<string>;
	claimed: readonly Pod[];
	revision: string;
}

function wantedNodes(ctx: ControllerContext, set: DaemonSet, revision: string): Set<string> {
	const pod = newPod(set, 'any', '', revision);
	const fitting = [...ctx.caches.nodes.all()].sort(byName).filter((node) => wantsNode(pod, node));
	return new Set(fitting.map(({ metadata }) => metadata.name));
}

/** Deletes pods on wrong nodes, replaces pods of old templates and creates missing pods. */
function place(ctx: ControllerContext, set: DaemonSet, { wanted, claimed, revision }: Placement): void {
	const byNode = Map.groupBy(claimed, (pod) => String(pod.spec?.nodeName ?? ''));
	for (const [node, pods] of byNode) if (!wanted.has(node)) for (const pod of pods) deletePod(ctx, set, pod);
	const now = ctx.clock.now();
	const nodes = [...wanted].map((node) =>
		nodeState(byNode.get(node) ?? [], (pod) => ({
			updated: pod.metadata.labels?.[REVISION_LABEL] === revision,
			ready: isReady(pod),
			available: isAvailable(pod, set.spec.minReadySeconds ?? 0, now),
		})),
	);
	const steps = planRollout(nodes, rolloutLimits(set, wanted.size));
	for (const [i, node] of [...wanted].entries()) {
		for (const pod of steps[i]!.remove) deletePod(ctx, set, pod);
		if (steps[i]!.create) newDaemon(ctx, set, node, revision);
	}
}

function newDaemon(ctx: ControllerContext, set: DaemonSet, node: string, revision: string): void {
	const generateName = `${set.metadata.name}-`;
	const pod = newPod(set, generateName + ctx.suffix(), node, revision);
	createPod(ctx, set, { ...pod, metadata: { ...pod.metadata, generateName } });
}

function newPod(set: DaemonSet, name: string, nodeName: string, revision: string): Pod {
	const pod = podFromTemplate(set, KIND, name);
	const labels = { ...pod.metadata.labels, [REVISION_LABEL]: revision };
	const tolerations = [...(pod.spec.tolerations ?? []), ...TOLERATIONS];
	return { ...pod, metadata: { ...pod.metadata, labels }, spec: { ...pod.spec, tolerations, nodeName } };
}

function writeStatus(ctx: ControllerContext, key: string, { wanted, claimed, revision }: Placement): void {
	const set = ctx.caches.daemonsets.get(key);
	if (!set) return;
	const now = ctx.clock.now();
	const live = claimed.filter((pod) => !isFinished(pod) && !isTerminating(pod));
	const placed = live.filter((pod) => wanted.has(pod.spec.nodeName!));
	const available = placed.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, now)).length;
	const status = {
		...set.status,
		desiredNumberScheduled: wanted.size,
		currentNumberScheduled: placed.length,
		numberMisscheduled: live.length - placed.length,
		numberReady: placed.filter(isReady).length,
		updatedNumberScheduled: placed.filter(({ metadata }) => metadata.labels?.[REVISION_LABEL] === revision)
			.length,
		numberAvailable: available,
		numberUnavailable: wanted.size - available,
		observedGeneration: set.metadata.generation ?? 1,
	};
	ctx.caches.daemonsets.update({ ...set, status }, 'status');
}
