/**
 * ControllerRevisions store the templates of a StatefulSet or DaemonSet, for `kubectl rollout
 * history` and `undo`.
 */
import type { ControllerRevision, DaemonSet, PodTemplate, StatefulSet } from '../port.ts';
import type { Cache } from './cache.ts';
import { claim, type OwnerKind } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { byName, canonical, controllerRef, errorCode, keyFor, ownedBy } from './meta.ts';
import { templateHash } from './names.ts';

export const REVISION_LABEL = 'controller-revision-hash';
const HASH_LABEL = 'controller.kubernetes.io/hash';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

type RevisionOwner = StatefulSet | DaemonSet;

/** A strategic merge patch that restores a template. */
interface RevisionData {
	spec: { template: PodTemplate & { $patch: 'replace' } };
}

/** Revisions of the owner, the newest last. */
export function revisionsOf(
	ctx: ControllerContext,
	owner: RevisionOwner,
	kind: OwnerKind,
): ControllerRevision[] {
	const revisions = claim(ctx.caches.controllerrevisions, owner, kind);
	return revisions.sort((a, b) => a.revision - b.revision || byName(a, b));
}

/**
 * Finds or creates the revision of the owner's template. An existing older one gets the highest
 * number.
 * @param revisions of the owner, the newest last. A created revision is appended.
 */
export function currentRevision(
	ctx: ControllerContext,
	owner: RevisionOwner,
	kind: OwnerKind,
	revisions: ControllerRevision[],
): ControllerRevision {
	const data = dataOf(owner.spec.template);
	const wanted = canonical(data);
	const found = revisions.findLast((revision) => canonical(revision.data) === wanted);
	const newest = revisions.at(-1);
	const number = (newest?.revision ?? 0) + 1;
	if (!found) {
		const made = create(ctx, owner, newRevision(owner, kind, data, number));
		revisions.push(made);
		return made;
	}
	if (found === newest) return found;
	return ctx.caches.controllerrevisions.update({ ...found, revision: number });
}

function dataOf(template: PodTemplate): RevisionData {
	return { spec: { template: { ...template, $patch: 'replace' } } };
}

/** The template stored in a revision. */
export function templateOf(revision: ControllerRevision): PodTemplate {
	const { $patch: _patch, ...template } = (revision.data as RevisionData).spec.template;
	return template;
}

function newRevision(
	owner: RevisionOwner,
	kind: OwnerKind,
	data: RevisionData,
	revision: number,
): ControllerRevision {
	const hash = templateHash(owner.spec.template, owner.status?.collisionCount ?? 0);
	const { [LAST_APPLIED]: _applied, ...annotations } = owner.metadata.annotations ?? {};
	const label = kind.kind === 'DaemonSet' ? REVISION_LABEL : HASH_LABEL;
	return {
		apiVersion: 'apps/v1',
		kind: 'ControllerRevision',
		metadata: {
			name: `${owner.metadata.name}-${hash}`,
			namespace: owner.metadata.namespace!,
			labels: { ...owner.spec.template.metadata?.labels, [label]: hash },
			annotations,
			ownerReferences: [controllerRef(owner, kind.apiVersion, kind.kind)],
		},
		data,
		revision,
	};
}

function create(
	ctx: ControllerContext,
	owner: RevisionOwner,
	revision: ControllerRevision,
): ControllerRevision {
	try {
		return ctx.caches.controllerrevisions.create(revision);
	} catch (error) {
		const { namespace, name } = revision.metadata;
		const taken = ctx.caches.controllerrevisions.get(keyFor(namespace, name));
		if (errorCode(error) === 409 && taken && !ownedBy(taken, owner)) countCollision(ctx, owner);
		throw error;
	}
}

/** Counts a name collision with another owner's revision. The next attempt uses another hash. */
function countCollision(ctx: ControllerContext, owner: RevisionOwner): void {
	const cache: Cache = owner.kind === 'DaemonSet' ? ctx.caches.daemonsets : ctx.caches.statefulsets;
	const collisionCount = Number(owner.status?.collisionCount ?? 0) + 1;
	cache.update({ ...owner, status: { ...owner.status, collisionCount } }, 'status');
}

/** Deletes unused revisions beyond spec.revisionHistoryLimit (10), oldest first. */
export function pruneRevisions(
	ctx: ControllerContext,
	owner: RevisionOwner,
	revisions: readonly ControllerRevision[],
	used: (revision: ControllerRevision) => boolean,
): void {
	const limit: number = owner.spec.revisionHistoryLimit ?? 10;
	const history = revisions.filter((revision) => !used(revision));
	for (const revision of history.slice(0, Math.max(0, history.length - limit)))
		ctx.caches.controllerrevisions.delete(revision);
}
