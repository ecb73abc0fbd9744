/**
 * Conditions of a Deployment, as in kube-controller-manager's
 * pkg/controller/deployment/progress.go.
 */
import type { Deployment, ReplicaSet } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import type { Condition } from './pod-state.ts';

/**
 * The action of a sync: created the new template's ReplicaSet, continued the rollout, found the
 * Deployment paused, scaled, or only counted.
 */
export type Stage = 'created' | 'rolling' | 'paused' | 'scaling' | 'counting';

export function stageOf(deployment: Deployment): Stage {
	return deployment.spec.paused ? 'paused' : 'scaling';
}

/** Pod counts of a Deployment's status. */
export interface Counts {
	replicas: number;
	updatedReplicas: number;
	readyReplicas: number;
	availableReplicas: number;
}

const NO_DEADLINE = 2 ** 31 - 1;

export function hasDeadline({ spec }: Deployment): boolean {
	const seconds: number | undefined = spec.progressDeadlineSeconds;
	return seconds !== undefined && seconds !== NO_DEADLINE;
}

/** The time at which the rollout exceeds its deadline, in ms since the epoch. */
export function deadline({ spec }: Deployment, progressing: Condition): number {
	return Date.parse(progressing.lastUpdateTime ?? '') + spec.progressDeadlineSeconds! * 1000;
}

/**
 * Sets a condition. If status and reason are equal, it stays unchanged. If only the status is
 * equal, it keeps its transition time.
 */
export function withCondition(before: readonly Condition[], next: Condition, now: number): Condition[] {
	const old = before.find(({ type }) => type === next.type);
	if (old?.status === next.status && old.reason === next.reason) return [...before];
	const at = timestamp(now);
	const lastTransitionTime = (old?.status === next.status ? old.lastTransitionTime : undefined) ?? at;
	const set = { ...next, lastUpdateTime: at, lastTransitionTime };
	return [...before.filter(({ type }) => type !== next.type), set];
}

/** Like withCondition, but also updates an equal condition. This restarts the deadline. */
function touched(before: readonly Condition[], next: Condition, now: number): Condition[] {
	const old = before.find(({ type }) => type === next.type);
	const [set] = withCondition([], next, now);
	if (old?.status === next.status && old.lastTransitionTime) set!.lastTransitionTime = old.lastTransitionTime;
	return [...before.filter(({ type }) => type !== next.type), set!];
}

interface Progress {
	deployment: Deployment;
	current: ReplicaSet | undefined;
	stage: Stage;
	counts: Counts;
	complete: boolean;
	now: number;
}

/** Sets the condition Progressing. Without a deadline, removes it. */
export function withProgress(before: readonly Condition[], progress: Progress): Condition[] {
	const { deployment, current, stage, now } = progress;
	if (!hasDeadline(deployment)) return before.filter(({ type }) => type !== 'Progressing');
	const name = current?.metadata.name;
	let conditions = withPause(before, deployment, now);
	if (stage === 'created') {
		const message = `Created new replica set "${name}"`;
		conditions = withCondition(conditions, progressing('NewReplicaSetCreated', message), now);
	} else if (current && !conditions.some(({ type }) => type === 'Progressing')) {
		const message = `Found new replica set "${name}"`;
		conditions = withCondition(conditions, progressing('FoundNewReplicaSet', message), now);
	}
	return stage === 'created' || stage === 'rolling' ? advance(conditions, progress) : conditions;
}

/**
 * Sets the reason for pause and resume. A rollout that exceeded its deadline keeps its condition.
 */
function withPause(before: readonly Condition[], { spec }: Deployment, now: number): Condition[] {
	const reason = before.find(({ type }) => type === 'Progressing')?.reason;
	if (reason === 'ProgressDeadlineExceeded') return [...before];
	const unknown = (word: string, message: string): Condition => ({
		...progressing(word, message),
		status: 'Unknown',
	});
	if (spec.paused && reason !== 'DeploymentPaused')
		return withCondition(before, unknown('DeploymentPaused', 'Deployment is paused'), now);
	if (!spec.paused && reason === 'DeploymentPaused')
		return withCondition(before, unknown('DeploymentResumed', 'Deployment is resumed'), now);
	return [...before];
}

function advance(before: Condition[], { deployment, current, counts, complete, now }: Progress): Condition[] {
	const old = before.find(({ type }) => type === 'Progressing');
	if (counts.replicas === counts.updatedReplicas && old?.reason === 'NewReplicaSetAvailable') return before;
	const subject = current
		? `ReplicaSet "${current.metadata.name}"`
		: `Deployment "${deployment.metadata.name}"`;
	if (complete) {
		const message = `${subject} has successfully progressed.`;
		return withCondition(before, progressing('NewReplicaSetAvailable', message), now);
	}
	if (moved(deployment.status ?? {}, counts))
		return touched(before, progressing('ReplicaSetUpdated', `${subject} is progressing.`), now);
	const late = old && old.reason !== 'NewReplicaSetAvailable' && deadline(deployment, old) <= now;
	if (!late) return before;
	const message = `${subject} has timed out progressing.`;
	const failed: Condition = { ...progressing('ProgressDeadlineExceeded', message), status: 'False' };
	return withCondition(before, failed, now);
}

function progressing(reason: string, message: string): Condition {
	return { type: 'Progressing', status: 'True', reason, message };
}

/**
 * Whether there are more new pods, fewer old pods, or more ready or available pods than in the last
 * status.
 */
function moved(before: Partial<Counts>, after: Counts): boolean {
	const { replicas = 0, updatedReplicas = 0, readyReplicas = 0, availableReplicas = 0 } = before;
	return (
		after.updatedReplicas > updatedReplicas ||
		after.replicas - after.updatedReplicas < replicas - updatedReplicas ||
		after.readyReplicas > readyReplicas ||
		after.availableReplicas > availableReplicas
	);
}
