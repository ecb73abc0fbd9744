import type { Deployment, ReplicaSet } from '../port.ts';
import { claim, followOwned } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { type Stage, stageOf } from './deployment-conditions.ts';
import { limitsOf, type RolloutLimits, type SetState, scaleNew, scaleOld } from './deployment-rollout.ts';
import { isScaling, resize, scaleTogether } from './deployment-scale.ts';
import { currentSet, findSet, pruneHistory, syncAnnotations } from './deployment-sets.ts';
import { deploymentStatus, isComplete, untilDeadline } from './deployment-status.ts';
import { controllerOf, isTerminating, keyFor, keyOf } from './meta.ts';
import { isFinished } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'Deployment' };

/** Deployment -> ReplicaSets: one for each template. The newest grows while the others shrink. */
export function startDeployments(ctx: ControllerContext): WorkQueue {
	const { deployments, replicasets, pods } = ctx.caches;
	const queue = ctx.queue('deployment', (key) => {
		const deployment = deployments.get(key);
		if (!deployment) return;
		const sets = claim(replicasets, deployment, KIND);
		const stage = isTerminating(deployment) ? 'counting' : rollOut(ctx, deployment, sets);
		const stored = writeStatus(ctx, key, stage);
		const wait = stored && untilDeadline(stored, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	deployments.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followOwned(replicasets, KIND, deployments, queue.add);
	// Recreate waits until the old pods are gone, but their removal changes no ReplicaSet.
	pods.subscribe((before, after) => {
		const owner = before && !after ? controllerOf(before) : undefined;
		const set = owner && replicasets.get(keyFor(before!.metadata.namespace, owner.name));
		const deployment = set && controllerOf(set);
		if (deployment) queue.add(keyFor(set.metadata.namespace, deployment.name));
	});
	return queue;
}

/** Makes all changes that are possible now. Each change triggers another sync. */
function rollOut(ctx: ControllerContext, deployment: Deployment, sets: readonly ReplicaSet[]): Stage {
	if (deployment.spec.paused || isScaling(deployment, sets)) {
		const current = findSet(deployment, sets);
		if (current) syncAnnotations(ctx, deployment, current, sets);
		scaleTogether(ctx, deployment, live(ctx, deployment));
		return stageOf(deployment);
	}
	const recreate = deployment.spec.strategy?.type === 'Recreate';
	if (recreate && !oldPodsGone(ctx, deployment, sets)) return 'rolling';
	const { current, made } = currentSet(ctx, deployment, sets);
	const old = live(ctx, deployment).filter((set) => set.metadata.uid !== current.metadata.uid);
	const replicas: number = deployment.spec.replicas ?? 1;
	if (recreate) resize(ctx, deployment, current, replicas);
	else roll(ctx, deployment, current, old);
	if (isComplete(deployment, deployment.status ?? {})) pruneHistory(ctx, deployment, old);
	return made ? 'created' : 'rolling';
}

/** The current ReplicaSets of the deployment, from the cache. */
function live(ctx: ControllerContext, deployment: Deployment): ReplicaSet[] {
	return ctx.caches.replicasets.by('owner', deployment.metadata.uid!);
}

function roll(ctx: ControllerContext, deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): void {
	const limits: RolloutLimits = limitsOf(deployment);
	const next = scaleNew(stateOf(current), old.map(stateOf), limits);
	const grown = resize(ctx, deployment, current, next);
	const shrink = scaleOld(stateOf(grown), old.map(stateOf), limits);
	for (const set of old) {
		const fewer = shrink.get(set.metadata.name);
		if (fewer !== undefined) resize(ctx, deployment, set, fewer);
	}
}

/** Scales every old ReplicaSet to 0. @returns whether all their pods have ended. */
function oldPodsGone(ctx: ControllerContext, deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
	const current = findSet(deployment, sets);
	const old = sets.filter((set) => set !== current);
	for (const set of old) resize(ctx, deployment, set, 0);
	return old.every((set) => ctx.caches.pods.by('owner', set.metadata.uid!).every(isFinished));
}

function stateOf(set: ReplicaSet): SetState {
	return {
		name: set.metadata.name,
		replicas: set.spec.replicas ?? 0,
		available: Math.min(set.status?.availableReplicas ?? 0, set.spec.replicas ?? 0),
		created: Date.parse(set.metadata.creationTimestamp ?? '') || 0,
	};
}

function writeStatus(ctx: ControllerContext, key: string, stage: Stage) {
	const deployment = ctx.caches.deployments.get(key);
	if (!deployment) return undefined;
	const sets = live(ctx, deployment);
	const current = findSet(deployment, sets);
	const status = deploymentStatus({ deployment, current, sets, stage, now: ctx.clock.now() });
	return ctx.caches.deployments.update({ ...deployment, status }, 'status');
}
