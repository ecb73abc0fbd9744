import type { Deployment, ReplicaSet } from '../port.ts';
import {
	type Counts,
	deadline,
	hasDeadline,
	type Stage,
	withCondition,
	withProgress,
} from './deployment-conditions.ts';
import { limitsOf, sum } from './deployment-rollout.ts';
import { type Condition, conditionOf } from './pod-state.ts';

interface StatusInput {
	deployment: Deployment;
	/** The ReplicaSet of the deployment's template. */
	current: ReplicaSet | undefined;
	/** All ReplicaSets of the deployment. */
	sets: readonly ReplicaSet[];
	stage: Stage;
	/** Ms since the epoch. */
	now: number;
}

/** The status for `kubectl rollout status` and `kubectl get deployments`. */
export function deploymentStatus({ deployment, current, sets, stage, now }: StatusInput) {
	const total = (field: 'replicas' | 'readyReplicas' | 'availableReplicas') =>
		sum(sets, (set) => set.status?.[field] ?? 0);
	const counts = {
		replicas: total('replicas'),
		updatedReplicas: Number(current?.status?.replicas ?? 0),
		readyReplicas: total('readyReplicas'),
		availableReplicas: total('availableReplicas'),
	};
	const wished = sum(sets, (set) => set.spec.replicas ?? 0);
	const status = {
		...deployment.status,
		...counts,
		unavailableReplicas: Math.max(0, wished - counts.availableReplicas),
		observedGeneration: deployment.metadata.generation ?? 1,
	};
	const complete = isComplete(deployment, status);
	let conditions: Condition[] = deployment.status?.conditions ?? [];
	conditions = withCondition(conditions, availability(deployment, counts), now);
	conditions = withProgress(conditions, { deployment, current, stage, counts, complete, now });
	conditions = withFailure(conditions, [...(current ? [current] : []), ...sets], now);
	return { ...status, conditions };
}

/** Whether all pods have the newest template and are available. */
export function isComplete(
	{ metadata, spec }: Deployment,
	status: Partial<Counts> & { observedGeneration?: number },
): boolean {
	const wished: number = spec.replicas ?? 1;
	return (
		(status.updatedReplicas ?? 0) === wished &&
		(status.replicas ?? 0) === wished &&
		(status.availableReplicas ?? 0) === wished &&
		(status.observedGeneration ?? 0) >= (metadata.generation ?? 1)
	);
}

/** @returns ms until the deadline; undefined without a rollout in progress. */
export function untilDeadline(deployment: Deployment, now: number): number | undefined {
	const progressing = conditionOf(deployment, 'Progressing');
	if (!progressing || !hasDeadline(deployment) || isComplete(deployment, deployment.status!))
		return undefined;
	const settled = ['NewReplicaSetAvailable', 'ProgressDeadlineExceeded', 'DeploymentPaused'];
	if (settled.includes(progressing.reason ?? '')) return undefined;
	return Math.max(0, deadline(deployment, progressing) - now) + 1;
}

function availability(deployment: Deployment, { availableReplicas }: Counts): Condition {
	const { replicas, maxUnavailable } = limitsOf(deployment);
	const enough = availableReplicas >= replicas - maxUnavailable;
	return {
		type: 'Available',
		status: enough ? 'True' : 'False',
		reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
		message: `Deployment ${enough ? 'has' : 'does not have'} minimum availability.`,
	};
}

/** Copies the condition ReplicaFailure, preferably from the newest ReplicaSet. */
function withFailure(before: Condition[], sets: readonly ReplicaSet[], now: number): Condition[] {
	const failure = sets.map((set) => conditionOf(set, 'ReplicaFailure')).find((found) => found);
	if (!failure) return before.filter(({ type }) => type !== 'ReplicaFailure');
	const { type, status, reason, message } = failure;
	return withCondition(
		before,
		{ type, status, ...(reason ? { reason } : {}), ...(message ? { message } : {}) },
		now,
	);
}
