import type { Deployment, ReplicaSet } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { limitsOf, proportion, sum } from './deployment-rollout.ts';
import { findSet } from './deployment-sets.ts';
import { byAge } from './meta.ts';

/**
 * Annotation with the deployment's desired size at the last scaling of the ReplicaSet. A different
 * size now means scaling, not rollout.
 */
const DESIRED = 'deployment.kubernetes.io/desired-replicas';
/** Annotation with the maximum number of pods at that time, including the surge. */
const MAX = 'deployment.kubernetes.io/max-replicas';

/** Sets a ReplicaSet's size and annotations. Emits an Event if the size changes. */
export function resize(
	ctx: ControllerContext,
	deployment: Deployment,
	set: ReplicaSet,
	replicas: number,
): ReplicaSet {
	const { replicas: desired, maxSurge } = limitsOf(deployment);
	const annotations = {
		...set.metadata.annotations,
		[DESIRED]: String(desired),
		[MAX]: String(desired + maxSurge),
	};
	const metadata = { ...set.metadata, annotations };
	const before: number = set.spec.replicas ?? 0;
	const after = ctx.caches.replicasets.update({ ...set, metadata, spec: { ...set.spec, replicas } });
	if (before === replicas) return after;
	const direction = before < replicas ? 'up' : 'down';
	const message = `Scaled ${direction} replica set ${set.metadata.name} from ${before} to ${replicas}`;
	ctx.record(deployment, { component: 'deployment-controller', reason: 'ScalingReplicaSet', message });
	return after;
}

/** Whether the deployment's desired size has changed since its ReplicaSets were last scaled. */
export function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
	const desired = String(deployment.spec.replicas ?? 1);
	return sets.some((set) => {
		const noted = set.metadata.annotations?.[DESIRED];
		return set.spec.replicas! > 0 && noted !== undefined && noted !== desired;
	});
}

/**
 * Applies the deployment's size without continuing a rollout. A single active ReplicaSet gets the
 * whole size. After a finished rollout, old sets shrink to 0. During a rolling update, every set
 * changes in proportion.
 */
export function scaleTogether(
	ctx: ControllerContext,
	deployment: Deployment,
	sets: readonly ReplicaSet[],
): void {
	const replicas: number = deployment.spec.replicas ?? 1;
	const current = findSet(deployment, sets);
	const active = sets.filter((set) => set.spec.replicas! > 0);
	const only = active.length > 1 ? undefined : (active[0] ?? current ?? sets.toSorted(byAge).at(-1));
	if (only) {
		resize(ctx, deployment, only, replicas);
	} else if (current && isSaturated(deployment, current)) {
		for (const set of active) if (set !== current) resize(ctx, deployment, set, 0);
	} else if (deployment.spec.strategy?.type !== 'Recreate') {
		scaleByShare(ctx, deployment, active);
	}
}

/** Whether the set has the desired size and all its pods are available. */
function isSaturated(deployment: Deployment, set: ReplicaSet): boolean {
	const replicas: number = deployment.spec.replicas ?? 1;
	const noted = Number(set.metadata.annotations?.[DESIRED]);
	return set.spec.replicas === replicas && noted === replicas && set.status?.availableReplicas === replicas;
}

function scaleByShare(ctx: ControllerContext, deployment: Deployment, active: readonly ReplicaSet[]): void {
	const limits = limitsOf(deployment);
	const allowed = limits.replicas > 0 ? limits.replicas + limits.maxSurge : 0;
	const total = sum(active, (set) => set.spec.replicas ?? 0);
	const growing = allowed > total;
	// Largest first. Of equal sets, the newer grows first and the older shrinks first
	const sets = active.toSorted(
		(a, b) => b.spec.replicas! - a.spec.replicas! || (growing ? byAge(b, a) : byAge(a, b)),
	);
	const sizes = proportion(
		sets.map((set) => ({
			replicas: set.spec.replicas!,
			maxBefore: Number(set.metadata.annotations?.[MAX]) || Number(deployment.status?.replicas ?? 0),
		})),
		allowed - total,
		limits,
	);
	for (const [i, set] of sets.entries()) resize(ctx, deployment, set, sizes[i]!);
}
