import type { Pod, ReplicaSet } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { claim, followOwned } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { isTerminating, keyOf } from './meta.ts';
import { createPod, deletePod, podFromTemplate } from './pod-control.ts';
import { rankForDeletion } from './pod-rank.ts';
import {
	type Condition,
	conditionOf,
	isActive,
	isAvailable,
	isReady,
	nextAvailability,
} from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { matchesLabels } from './selector.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'ReplicaSet' };

/** ReplicaSet -> Pods: creates missing pods, deletes surplus pods and updates the status. */
export function startReplicaSets(ctx: ControllerContext): WorkQueue {
	const { replicasets } = ctx.caches;
	const queue = ctx.queue('replicaset', (key) => {
		const set = replicasets.get(key);
		if (!set) return;
		const claimed = claim(ctx.caches.pods, set, KIND).filter(isActive);
		const { pods, failure } = scale(ctx, set, claimed);
		writeStatus(ctx, set, pods, failure);
		if (failure) throw failure;
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	replicasets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followOwned(ctx.caches.pods, KIND, replicasets, queue.add);
	return queue;
}

interface Scaled {
	pods: Pod[];
	/** The error of a failed pod creation. */
	failure?: Error;
}

function scale(ctx: ControllerContext, set: ReplicaSet, pods: Pod[]): Scaled {
	if (isTerminating(set)) return { pods };
	const missing = (set.spec.replicas ?? 1) - pods.length;
	if (missing < 0) {
		const ranked = rankForDeletion(pods);
		for (const pod of ranked.slice(0, -missing)) deletePod(ctx, set, pod);
		return { pods: ranked.slice(-missing) };
	}
	const all = [...pods];
	try {
		for (let made = 0; made < missing; made++) all.push(newPod(ctx, set));
	} catch (error) {
		return { pods: all, failure: error instanceof Error ? error : new Error(String(error)) };
	}
	return { pods: all };
}

function newPod(ctx: ControllerContext, set: ReplicaSet): Pod {
	const generateName = `${set.metadata.name}-`;
	const pod = podFromTemplate(set, KIND, generateName + ctx.suffix());
	return createPod(ctx, set, { ...pod, metadata: { ...pod.metadata, generateName } });
}

function writeStatus(
	ctx: ControllerContext,
	set: ReplicaSet,
	pods: readonly Pod[],
	failure: Error | undefined,
): void {
	const now = ctx.clock.now();
	const labels = set.spec.template!.metadata?.labels ?? {};
	const current = ctx.caches.replicasets.get(keyOf(set));
	if (!current) return;
	const { conditions: _before, ...rest } = current.status ?? {};
	const conditions = failureConditions(current, failure, now);
	const status = {
		...rest,
		...(conditions.length > 0 ? { conditions } : {}),
		replicas: pods.length,
		fullyLabeledReplicas: pods.filter((pod) => matchesLabels(labels, pod.metadata.labels)).length,
		readyReplicas: pods.filter(isReady).length,
		availableReplicas: pods.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, now)).length,
		observedGeneration: set.metadata.generation ?? 1,
	};
	ctx.caches.replicasets.update({ ...current, status }, 'status');
}

/**
 * Sets ReplicaFailure with the first error and keeps it while pod creation fails. An error message
 * contains the pod name of its attempt. Updating it would change the set and trigger the next
 * attempt, in an endless loop.
 */
function failureConditions(set: ReplicaSet, failure: Error | undefined, now: number): Condition[] {
	const before: Condition[] = set.status?.conditions ?? [];
	if (!failure) return before.filter(({ type }) => type !== 'ReplicaFailure');
	if (conditionOf(set, 'ReplicaFailure')) return before;
	const [reason, message] = ['FailedCreate', failure.message];
	const lastTransitionTime = timestamp(now);
	return [...before, { type: 'ReplicaFailure', status: 'True', reason, message, lastTransitionTime }];
}
