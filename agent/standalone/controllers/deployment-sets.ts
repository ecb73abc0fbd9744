import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { controllerRef, errorCode, keyFor, ownedBy } from './meta.ts';
import { templateHash } from './names.ts';

const HASH_LABEL = 'pod-template-hash';
const REVISION = 'deployment.kubernetes.io/revision';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** The ReplicaSet of the deployment's template, with the highest revision; made when absent and `create` is set. */
export function currentSet(
	ctx: ControllerContext,
	deployment: KubeObject,
	{ create }: { create: boolean },
): KubeObject | undefined {
	const hash = templateHash(deployment.spec.template, deployment.status?.collisionCount ?? 0);
	const sets = ctx.caches.replicasets.by('owner', deployment.metadata.uid!);
	const found = sets.find((set) => set.metadata.labels?.[HASH_LABEL] === hash);
	const others = sets.filter((set) => set !== found);
	const revision = Math.max(0, ...others.map(revisionOf)) + 1;
	if (!found) return create ? createSet(ctx, deployment, hash, revision) : undefined;
	if (!create || revisionOf(found) >= revision) return found;
	return withRevision(ctx, deployment, found, revision);
}

function createSet(
	ctx: ControllerContext,
	deployment: KubeObject,
	hash: string,
	revision: number,
): KubeObject {
	const set = newSet(deployment, hash, revision);
	try {
		const created = ctx.caches.replicasets.create(set);
		return withRevision(ctx, deployment, created, revision);
	} catch (error) {
		const { namespace, name } = set.metadata;
		const taken = ctx.caches.replicasets.get(keyFor(namespace, name));
		if (errorCode(error) === 409 && !(taken && ownedBy(taken, deployment))) countCollision(ctx, deployment);
		throw error;
	}
}

/** A ReplicaSet of somebody else has the name: the next try takes another hash. */
function countCollision(ctx: ControllerContext, deployment: KubeObject): void {
	const collisionCount = Number(deployment.status?.collisionCount ?? 0) + 1;
	ctx.caches.deployments.update(
		{ ...deployment, status: { ...deployment.status, collisionCount } },
		'status',
	);
}

function newSet(deployment: KubeObject, hash: string, revision: number): KubeObject {
	const { template, selector, minReadySeconds } = deployment.spec;
	const { [LAST_APPLIED]: _applied, ...annotations } = deployment.metadata.annotations ?? {};
	return {
		apiVersion: 'apps/v1',
		kind: 'ReplicaSet',
		metadata: {
			name: `${deployment.metadata.name}-${hash}`,
			namespace: deployment.metadata.namespace!,
			labels: { ...template.metadata?.labels, [HASH_LABEL]: hash },
			annotations: { ...annotations, [REVISION]: String(revision) },
			ownerReferences: [controllerRef(deployment, 'apps/v1', 'Deployment')],
		},
		spec: {
			replicas: 0,
			...(minReadySeconds ? { minReadySeconds } : {}),
			selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
			template: {
				...template,
				metadata: { ...template.metadata, labels: { ...template.metadata?.labels, [HASH_LABEL]: hash } },
			},
		},
	};
}

/** Notes the revision on the set and on its deployment (`kubectl rollout history` and `undo` read it). */
function withRevision(ctx: ControllerContext, deployment: KubeObject, set: KubeObject, revision: number) {
	const { deployments, replicasets } = ctx.caches;
	const stored = deployments.get(keyFor(deployment.metadata.namespace, deployment.metadata.name));
	if (stored) deployments.update(annotated(stored, revision));
	return replicasets.update(annotated(set, revision));
}

function annotated(object: KubeObject, revision: number): KubeObject {
	const annotations = { ...object.metadata.annotations, [REVISION]: String(revision) };
	return { ...object, metadata: { ...object.metadata, annotations } };
}

function revisionOf(set: KubeObject): number {
	return Number(set.metadata.annotations?.[REVISION] ?? 0) || 0;
}

/** Deletes the oldest ReplicaSets without pods beyond spec.revisionHistoryLimit (10). */
export function pruneHistory(
	ctx: ControllerContext,
	deployment: KubeObject,
	old: readonly KubeObject[],
): void {
	const limit: number = deployment.spec.revisionHistoryLimit ?? 10;
	const empty = old
		.filter((set) => set.spec.replicas === 0 && (set.status?.replicas ?? 0) === 0)
		.sort((a, b) => revisionOf(a) - revisionOf(b));
	for (const set of empty.slice(0, Math.max(0, empty.length - limit))) ctx.caches.replicasets.delete(set);
}
