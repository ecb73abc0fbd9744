import type { KubeObject } from '../port.ts';
import { timestamp } from './clock.ts';
import { limitsOf, sum } from './deployment-rollout.ts';
import { type Condition, conditionOf } from './pod-state.ts';

const DEADLINE_EXCEEDED = 'ProgressDeadlineExceeded';

/** The status that `kubectl rollout status` and `kubectl get deployments` read. */
export function deploymentStatus(
	deployment: KubeObject,
	current: KubeObject | undefined,
	sets: readonly KubeObject[],
	now: number,
) {
	const available = sum(sets, (set) => set.status?.availableReplicas ?? 0);
	const counts = {
		replicas: sum(sets, (set) => set.status?.replicas ?? 0),
		updatedReplicas: Number(current?.status?.replicas ?? 0),
		readyReplicas: sum(sets, (set) => set.status?.readyReplicas ?? 0),
		availableReplicas: available,
		unavailableReplicas: Math.max(0, sum(sets, (set) => set.spec.replicas ?? 0) - available),
	};
	const conditions = [
		transition(deployment, availability(deployment, available), now),
		transition(deployment, progress(deployment, current, counts, now), now),
	];
	return {
		...deployment.status,
		...counts,
		observedGeneration: deployment.metadata.generation ?? 1,
		conditions,
	};
}

/** @returns ms until the rollout is late, undefined when it is not under way. */
export function untilDeadline(deployment: KubeObject, now: number): number | undefined {
	const progressing = conditionOf(deployment, 'Progressing');
	if (progressing?.status !== 'True' || progressing.reason === 'NewReplicaSetAvailable') return undefined;
	return Math.max(0, deadline(deployment, progressing) - now) + 1;
}

function deadline(deployment: KubeObject, progressing: Condition): number {
	const seconds: number = deployment.spec.progressDeadlineSeconds ?? 600;
	return Date.parse(progressing.lastUpdateTime ?? '') + seconds * 1000;
}

function availability(deployment: KubeObject, available: number): Condition {
	const wished: number = deployment.spec.replicas ?? 1;
	const update = deployment.spec.strategy?.rollingUpdate ?? {};
	const recreate = deployment.spec.strategy?.type === 'Recreate';
	const limits = limitsOf(wished, update.maxSurge, update.maxUnavailable);
	const enough = available >= wished - (recreate ? 0 : limits.maxUnavailable);
	return {
		type: 'Available',
		status: enough ? 'True' : 'False',
		reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
		message: `Deployment ${enough ? 'has' : 'does not have'} minimum availability.`,
	};
}

interface Counts {
	replicas: number;
	updatedReplicas: number;
	availableReplicas: number;
}

function progress(
	deployment: KubeObject,
	current: KubeObject | undefined,
	counts: Counts,
	now: number,
): Condition {
	const name = current ? `ReplicaSet "${current.metadata.name}"` : 'Deployment';
	const before = conditionOf(deployment, 'Progressing');
	if (isComplete(deployment, current, counts)) {
		const message = `${name} has successfully progressed.`;
		return { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable', message };
	}
	if (!before || moved(deployment.status, counts)) {
		const reason = before ? 'ReplicaSetUpdated' : 'NewReplicaSetCreated';
		const message = `${name} ${before ? 'is progressing.' : 'has been created.'}`;
		return { type: 'Progressing', status: 'True', reason, message, lastUpdateTime: timestamp(now) };
	}
	if (before.reason !== 'NewReplicaSetAvailable' && deadline(deployment, before) <= now) {
		const message = `${name} has timed out progressing.`;
		return { type: 'Progressing', status: 'False', reason: DEADLINE_EXCEEDED, message };
	}
	return before;
}

function isComplete(deployment: KubeObject, current: KubeObject | undefined, counts: Counts): boolean {
	const wished: number = deployment.spec.replicas ?? 1;
	const observed = current?.status?.observedGeneration === (current?.metadata.generation ?? 1);
	return (
		observed &&
		counts.updatedReplicas === wished &&
		counts.replicas === wished &&
		counts.availableReplicas >= wished
	);
}

/** More new pods, fewer old ones or more available pods than the last status said. */
function moved(before: Counts | undefined, after: Counts): boolean {
	const old = (counts: Counts) => counts.replicas - counts.updatedReplicas;
	return (
		after.updatedReplicas > (before?.updatedReplicas ?? 0) ||
		after.availableReplicas > (before?.availableReplicas ?? 0) ||
		(before !== undefined && old(after) < old({ ...after, ...before }))
	);
}

/** Keeps the times of a condition that says what it said before. */
function transition(deployment: KubeObject, next: Condition, now: number): Condition {
	const before = conditionOf(deployment, next.type);
	if (before === next) return next;
	const same =
		before?.status === next.status && before.reason === next.reason && before.message === next.message;
	const at = timestamp(now);
	return {
		...next,
		lastUpdateTime: next.lastUpdateTime ?? (same ? before.lastUpdateTime : undefined) ?? at,
		lastTransitionTime: (before?.status === next.status ? before.lastTransitionTime : undefined) ?? at,
	};
}
