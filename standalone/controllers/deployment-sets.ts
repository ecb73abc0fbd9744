import type { Deployment, PodTemplate, ReplicaSet } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { byAge, canonical, controllerRef, errorCode, isTerminating, keyFor, ownedBy } from './meta.ts';
import { templateHash } from './names.ts';

const HASH_LABEL = 'pod-template-hash';
const REVISION = 'deployment.kubernetes.io/revision';
/** Earlier revisions of the set, like `1,3`. */
const REVISION_HISTORY = 'deployment.kubernetes.io/revision-history';
/** Annotations that apply only to the deployment or only to the set. */
const NOT_COPIED: ReadonlySet<string> = new Set([
	'kubectl.kubernetes.io/last-applied-configuration',
	REVISION,
	REVISION_HISTORY,
	'deployment.kubernetes.io/desired-replicas',
	'deployment.kubernetes.io/max-replicas',
	'deprecated.deployment.rollback.to',
]);

/**
 * Finds the ReplicaSet of the deployment's template, the oldest of several. Ignores the hash label,
 * because another controller may have computed it.
 */
export function findSet(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
	const wanted = withoutHash(deployment.spec.template);
	return sets.toSorted(byAge).find((set) => withoutHash(set.spec.template!) === wanted);
}

function withoutHash(template: PodTemplate): string {
	const { [HASH_LABEL]: _hash, ...labels } = template.metadata?.labels ?? {};
	return canonical({ ...template, metadata: { ...template.metadata, labels } });
}

/** Like findSet, but creates a missing set. Gives the set the highest revision. */
export function currentSet(
	ctx: ControllerContext,
	deployment: Deployment,
	sets: readonly ReplicaSet[],
): { current: ReplicaSet; made: boolean } {
	const found = findSet(deployment, sets);
	const current = found ?? createSet(ctx, deployment);
	return { current: syncAnnotations(ctx, deployment, current, sets), made: !found };
}

function createSet(ctx: ControllerContext, deployment: Deployment): ReplicaSet {
	const set = newSet(deployment);
	try {
		return ctx.caches.replicasets.create(set);
	} catch (error) {
		const { namespace, name } = set.metadata;
		const taken = ctx.caches.replicasets.get(keyFor(namespace, name));
		if (errorCode(error) === 409 && !(taken && ownedBy(taken, deployment))) countCollision(ctx, deployment);
		throw error;
	}
}

/** Counts a name collision with another owner's ReplicaSet. The next attempt uses another hash. */
function countCollision(ctx: ControllerContext, deployment: Deployment): void {
	const collisionCount = Number(deployment.status?.collisionCount ?? 0) + 1;
	ctx.caches.deployments.update(
		{ ...deployment, status: { ...deployment.status, collisionCount } },
		'status',
	);
}

function newSet(deployment: Deployment): ReplicaSet {
	const { template, selector, minReadySeconds } = deployment.spec;
	const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
	const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
	return {
		apiVersion: 'apps/v1',
		kind: 'ReplicaSet',
		metadata: {
			name: `${deployment.metadata.name}-${hash}`,
			namespace: deployment.metadata.namespace!,
			labels,
			ownerReferences: [controllerRef(deployment, 'apps/v1', 'Deployment')],
		},
		spec: {
			replicas: 0,
			...(minReadySeconds ? { minReadySeconds } : {}),
			selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
			template: { ...template, metadata: { ...template.metadata, labels } },
		},
	};
}

/**
 * Copies the deployment's annotations (such as `kubernetes.io/change-cause`) to its current set.
 * Gives the set the highest revision and copies that to the deployment, for `kubectl rollout
 * history` and `undo`.
 */
export function syncAnnotations(
	ctx: ControllerContext,
	deployment: Deployment,
	set: ReplicaSet,
	sets: readonly ReplicaSet[],
): ReplicaSet {
	const { deployments, replicasets } = ctx.caches;
	const others = sets.filter(({ metadata }) => metadata.uid !== set.metadata.uid);
	const revision = Math.max(0, ...others.map(revisionOf)) + 1;
	const annotations = { ...set.metadata.annotations, ...copied(deployment), ...revised(set, revision) };
	const { minReadySeconds } = deployment.spec;
	const spec = { ...set.spec, ...(minReadySeconds === undefined ? {} : { minReadySeconds }) };
	const current = replicasets.update({ ...set, metadata: { ...set.metadata, annotations }, spec });
	const stored = deployments.get(keyFor(deployment.metadata.namespace, deployment.metadata.name));
	if (stored) {
		const noted = { ...stored.metadata.annotations, [REVISION]: String(revisionOf(current)) };
		deployments.update({ ...stored, metadata: { ...stored.metadata, annotations: noted } });
	}
	return current;
}

function copied(deployment: Deployment): Record<string, string> {
	const entries = Object.entries(deployment.metadata.annotations ?? {});
	return Object.fromEntries(entries.filter(([key]) => !NOT_COPIED.has(key)));
}

/** Annotations for a set that becomes the newest. Its earlier revision moves to the history. */
function revised(set: ReplicaSet, revision: number): Record<string, string> {
	const before = revisionOf(set);
	if (before >= revision) return {};
	if (before === 0) return { [REVISION]: String(revision) };
	const history = set.metadata.annotations?.[REVISION_HISTORY];
	const earlier = history ? `${history},${before}` : String(before);
	return { [REVISION]: String(revision), [REVISION_HISTORY]: earlier };
}

function revisionOf(set: ReplicaSet): number {
	return Number(set.metadata.annotations?.[REVISION] ?? 0) || 0;
}

/**
 * Deletes ReplicaSets without pods beyond spec.revisionHistoryLimit (10), lowest revisions first.
 */
export function pruneHistory(
	ctx: ControllerContext,
	deployment: Deployment,
	old: readonly ReplicaSet[],
): void {
	const limit: number = deployment.spec.revisionHistoryLimit ?? 10;
	const sets = old.filter((set) => !isTerminating(set)).sort((a, b) => revisionOf(a) - revisionOf(b));
	for (const set of sets.slice(0, Math.max(0, sets.length - limit))) {
		const observed = set.status?.observedGeneration === set.metadata.generation;
		if (observed && !set.spec.replicas && !set.status?.replicas) ctx.caches.replicasets.delete(set);
	}
}
