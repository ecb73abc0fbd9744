import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { byName, isTerminating, keyOf } from './meta.ts';
import { templateHash } from './names.ts';
import { claimPods, followPods, podFromTemplate } from './pod-owner.ts';
import { isAvailable, isFinished, isReady, nextAvailability } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { wantsNode } from './scheduler-fit.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'DaemonSet' };
const REVISION_LABEL = 'controller-revision-hash';

/** What every daemon's pod puts up with (kube-controller-manager, pkg/controller/daemon/util). */
const TOLERATIONS = [
	{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
	{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
	{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];

/** DaemonSet -> one pod on every node that its template fits, put there without the scheduler. */
export function startDaemonSets(ctx: ControllerContext): WorkQueue {
	const { daemonsets, nodes } = ctx.caches;
	const queue = ctx.queue('daemonset', (key) => {
		const set = daemonsets.get(key);
		if (!set || isTerminating(set)) return;
		const revision = templateHash(set.spec.template);
		const claimed = claimPods(ctx, set, KIND).filter((pod) => !isFinished(pod));
		const wanted = wantedNodes(ctx, set, revision);
		place(ctx, set, { wanted, claimed, revision });
		const pods = ctx.caches.pods.by('owner', set.metadata.uid!);
		writeStatus(ctx, key, { wanted, claimed: pods, revision });
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	daemonsets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followPods(ctx, queue, KIND, daemonsets);
	nodes.subscribe((before, after) => {
		const relevant = (node?: KubeObject) => JSON.stringify([node?.metadata.labels, node?.spec]);
		if (relevant(before) !== relevant(after)) for (const set of daemonsets.all()) queue.add(keyOf(set));
	});
	return queue;
}

interface Placement {
	/** Names of the nodes that shall have a pod. */
	wanted: ReadonlySet<string>;
	claimed: readonly KubeObject[];
	revision: string;
}

function wantedNodes(ctx: ControllerContext, set: KubeObject, revision: string): Set<string> {
	const pod = newPod(set, 'any', '', revision);
	const fitting = [...ctx.caches.nodes.all()].sort(byName).filter((node) => wantsNode(pod, node));
	return new Set(fitting.map(({ metadata }) => metadata.name));
}

/** Deletes what is on the wrong node or twice on one, replaces what is of an old template, makes what is missing. */
function place(ctx: ControllerContext, set: KubeObject, { wanted, claimed, revision }: Placement): void {
	const byNode = Map.groupBy(claimed, (pod) => String(pod.spec?.nodeName ?? ''));
	for (const [node, pods] of byNode) {
		const surplus = wanted.has(node) ? pods.filter((pod) => !isTerminating(pod)).slice(1) : pods;
		for (const pod of surplus) ctx.caches.pods.delete(pod);
	}
	for (const node of wanted) if (!byNode.has(node)) createPod(ctx, set, node, revision);
	if (set.spec.updateStrategy?.type === 'OnDelete') return;
	let down = [...wanted].filter(
		(node) => !byNode.get(node)?.some((pod) => isReady(pod) && !isTerminating(pod)),
	).length;
	const allowed = maxUnavailable(set, wanted.size);
	for (const node of wanted)
		for (const pod of byNode.get(node)?.slice(0, 1) ?? []) {
			if (isTerminating(pod) || pod.metadata.labels?.[REVISION_LABEL] === revision) continue;
			if (isReady(pod) && down >= allowed) continue;
			if (isReady(pod)) down++;
			ctx.caches.pods.delete(pod);
		}
}

function maxUnavailable(set: KubeObject, nodes: number): number {
	const value: number | string = set.spec.updateStrategy?.rollingUpdate?.maxUnavailable ?? 1;
	const number = typeof value === 'string' ? Math.ceil((Number.parseInt(value, 10) * nodes) / 100) : value;
	return Math.max(1, number);
}

function createPod(ctx: ControllerContext, set: KubeObject, node: string, revision: string): void {
	const prefix = `${set.metadata.name}-`;
	const pod = newPod(set, prefix + ctx.suffix(), node, revision);
	ctx.caches.pods.create({ ...pod, metadata: { ...pod.metadata, generateName: prefix } });
}

function newPod(set: KubeObject, name: string, nodeName: string, revision: string): KubeObject {
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
	const placed = live.filter((pod) => wanted.has(pod.spec?.nodeName));
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
