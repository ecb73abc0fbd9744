import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { isTerminating, keyOf } from './meta.ts';
import { claimPods, followPods, podFromTemplate } from './pod-owner.ts';
import { rankForDeletion } from './pod-rank.ts';
import { isActive, isAvailable, isReady, nextAvailability } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { matchesLabels } from './selector.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'ReplicaSet' };

/** ReplicaSet -> Pods: creates what is missing, deletes what is too much, reports what there is. */
export function startReplicaSets(ctx: ControllerContext): WorkQueue {
	const { replicasets } = ctx.caches;
	const queue = ctx.queue('replicaset', (key) => {
		const set = replicasets.get(key);
		if (!set) return;
		const pods = scale(ctx, set, claimPods(ctx, set, KIND).filter(isActive));
		writeStatus(ctx, set, pods);
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	replicasets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followPods(ctx, queue, KIND, replicasets);
	return queue;
}

function scale(ctx: ControllerContext, set: KubeObject, pods: KubeObject[]): KubeObject[] {
	if (isTerminating(set)) return pods;
	const missing = (set.spec.replicas ?? 1) - pods.length;
	if (missing >= 0) {
		const created = Array.from({ length: missing }, () => createPod(ctx, set));
		return [...pods, ...created];
	}
	const ranked = rankForDeletion(pods);
	for (const pod of ranked.slice(0, -missing)) ctx.caches.pods.delete(pod);
	return ranked.slice(-missing);
}

function createPod(ctx: ControllerContext, set: KubeObject): KubeObject {
	const prefix = `${set.metadata.name}-`;
	const pod = podFromTemplate(set, KIND, prefix + ctx.suffix());
	return ctx.caches.pods.create({ ...pod, metadata: { ...pod.metadata, generateName: prefix } });
}

function writeStatus(ctx: ControllerContext, set: KubeObject, pods: readonly KubeObject[]): void {
	const now = ctx.clock.now();
	const labels: Record<string, string> = set.spec.template.metadata?.labels ?? {};
	const current = ctx.caches.replicasets.get(keyOf(set));
	if (!current) return;
	const status = {
		...current.status,
		replicas: pods.length,
		fullyLabeledReplicas: pods.filter((pod) => matchesLabels(labels, pod.metadata.labels)).length,
		readyReplicas: pods.filter(isReady).length,
		availableReplicas: pods.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, now)).length,
		observedGeneration: set.metadata.generation ?? 1,
	};
	ctx.caches.replicasets.update({ ...current, status }, 'status');
}
