import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { limitsOf, type RolloutLimits, type SetState, scaleNew, scaleOld } from './deployment-rollout.ts';
import { currentSet, pruneHistory } from './deployment-sets.ts';
import { deploymentStatus, untilDeadline } from './deployment-status.ts';
import { controllerOf, isTerminating, keyFor, keyOf } from './meta.ts';
import { isFinished } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';

/** Deployment -> ReplicaSets: one a template, the newest growing while the others shrink. */
export function startDeployments(ctx: ControllerContext): WorkQueue {
	const { deployments, replicasets, pods } = ctx.caches;
	const queue = ctx.queue('deployment', (key) => {
		const deployment = deployments.get(key);
		if (!deployment || isTerminating(deployment)) return;
		const current = rollOut(ctx, deployment);
		const stored = writeStatus(ctx, key, current);
		const wait = stored && untilDeadline(stored, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	deployments.subscribe((_before, after) => after && queue.add(keyOf(after)));
	replicasets.subscribe((before, after) => {
		const owner = controllerOf((after ?? before)!);
		if (owner?.kind === 'Deployment') queue.add(keyFor((after ?? before)!.metadata.namespace, owner.name));
	});
	// Recreate waits for the old pods to be gone, which changes no ReplicaSet.
	pods.subscribe((before, after) => {
		const owner = before && !after ? controllerOf(before) : undefined;
		const set = owner && replicasets.get(keyFor(before!.metadata.namespace, owner.name));
		const deployment = set && controllerOf(set);
		if (deployment) queue.add(keyFor(set.metadata.namespace, deployment.name));
	});
	return queue;
}

/** @returns the ReplicaSet of the deployment's template; undefined while it is not to exist yet. */
function rollOut(ctx: ControllerContext, deployment: KubeObject): KubeObject | undefined {
	const { replicasets } = ctx.caches;
	const sets = () => replicasets.by('owner', deployment.metadata.uid!);
	if (deployment.spec.paused) return scalePaused(ctx, deployment);
	const recreate = deployment.spec.strategy?.type === 'Recreate';
	if (recreate && !oldPodsGone(ctx, deployment)) return currentSet(ctx, deployment, { create: false });

	const current = currentSet(ctx, deployment, { create: true })!;
	const old = sets().filter((set) => set.metadata.name !== current.metadata.name);
	const wished: number = deployment.spec.replicas ?? 1;
	if (recreate) resize(ctx, current, wished);
	else {
		const update = deployment.spec.strategy?.rollingUpdate ?? {};
		roll(ctx, current, old, limitsOf(wished, update.maxSurge, update.maxUnavailable));
	}
	pruneHistory(ctx, deployment, old);
	return replicasets.get(keyOf(current));
}

function roll(ctx: ControllerContext, current: KubeObject, old: KubeObject[], limits: RolloutLimits): void {
	const next = scaleNew(stateOf(current), old.map(stateOf), limits);
	const grown = resize(ctx, current, next);
	const shrink = scaleOld(stateOf(grown), old.map(stateOf), limits);
	for (const set of old) resize(ctx, set, shrink.get(set.metadata.name) ?? set.spec.replicas);
}

/** Scales every old ReplicaSet to nothing. @returns whether no pod of theirs runs any more. */
function oldPodsGone(ctx: ControllerContext, deployment: KubeObject): boolean {
	const current = currentSet(ctx, deployment, { create: false });
	const old = ctx.caches.replicasets
		.by('owner', deployment.metadata.uid!)
		.filter((set) => set.metadata.name !== current?.metadata.name);
	for (const set of old) resize(ctx, set, 0);
	return old.every((set) => ctx.caches.pods.by('owner', set.metadata.uid!).every(isFinished));
}

/** A paused deployment keeps its mix of templates and follows its size in the newest ReplicaSet that has pods. */
function scalePaused(ctx: ControllerContext, deployment: KubeObject): KubeObject | undefined {
	const sets = ctx.caches.replicasets.by('owner', deployment.metadata.uid!);
	const active = sets.filter((set) => set.spec.replicas > 0);
	if (active.length === 1) resize(ctx, active[0]!, deployment.spec.replicas ?? 1);
	return currentSet(ctx, deployment, { create: false });
}

function resize(ctx: ControllerContext, set: KubeObject, replicas: number): KubeObject {
	if (set.spec.replicas === replicas) return set;
	ctx.log.debug({ event: 'replicaset_scaled', set: keyOf(set), from: set.spec.replicas, to: replicas });
	return ctx.caches.replicasets.update({ ...set, spec: { ...set.spec, replicas } });
}

function stateOf(set: KubeObject): SetState {
	return {
		name: set.metadata.name,
		replicas: set.spec.replicas ?? 0,
		available: Math.min(set.status?.availableReplicas ?? 0, set.spec.replicas ?? 0),
		created: Date.parse(set.metadata.creationTimestamp ?? '') || 0,
	};
}

function writeStatus(ctx: ControllerContext, key: string, current: KubeObject | undefined) {
	const deployment = ctx.caches.deployments.get(key);
	if (!deployment) return undefined;
	const sets = ctx.caches.replicasets.by('owner', deployment.metadata.uid!);
	const status = deploymentStatus(deployment, current, sets, ctx.clock.now());
	return ctx.caches.deployments.update({ ...deployment, status }, 'status');
}
