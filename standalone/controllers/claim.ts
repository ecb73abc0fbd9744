import type { KubeObject } from '../port.ts';
import { type Cache, labelValue } from './cache.ts';
import { NO_LABELS } from './caches.ts';
import { controllerOf, controllerRef, isTerminating, keyFor, keyOf } from './meta.ts';
import { type LabelSelector, matchesSelector, selectByLabels } from './selector.ts';

/** The kind of an owner. */
export interface OwnerKind {
	apiVersion: string;
	kind: string;
}

/** A workload that selects the objects it owns. */
export type Owner = KubeObject & { spec: { selector: LabelSelector } };

/**
 * Claims the objects of an owner, like kube-controller-manager. Releases an owned object if the
 * selector no longer matches: removes the owner reference (`kubectl label` can take a pod out of a
 * ReplicaSet). Adopts a matching object without owner.
 * @param cache must have the indexes `owner` and `label`.
 * @param accepts whether an object may be adopted.
 */
export function claim<T extends KubeObject>(
	cache: Cache<T>,
	owner: Owner,
	kind: OwnerKind,
	accepts: (object: T) => boolean = () => true,
): T[] {
	const selector: LabelSelector | undefined = owner.spec?.selector;
	const claimed: T[] = [];
	for (const object of cache.by('owner', owner.metadata.uid ?? '')) {
		if (matchesSelector(selector, object.metadata.labels) || isTerminating(object)) claimed.push(object);
		else cache.update(withoutOwner(object, owner));
	}
	if (isTerminating(owner)) return claimed;
	for (const object of candidates(cache, owner, selector)) {
		if (controllerOf(object) || isTerminating(object) || !accepts(object)) continue;
		if (matchesSelector(selector, object.metadata.labels))
			claimed.push(cache.update(withOwner(object, owner, kind)));
	}
	return claimed;
}

/** Objects that the selector may match. With expressions alone, no label index applies. */
function candidates<T extends KubeObject>(
	cache: Cache<T>,
	owner: KubeObject,
	selector: LabelSelector | undefined,
): T[] {
	const labels = selector?.matchLabels ?? {};
	const { namespace } = owner.metadata;
	if (Object.keys(labels).length > 0) return selectByLabels(cache, namespace, labels);
	return [...cache.all()].filter((object) => object.metadata.namespace === namespace);
}

function withoutOwner<T extends KubeObject>(object: T, owner: KubeObject): T {
	const ownerReferences = (object.metadata.ownerReferences ?? []).filter(
		({ uid }) => uid !== owner.metadata.uid,
	);
	return { ...object, metadata: { ...object.metadata, ownerReferences } };
}

function withOwner<T extends KubeObject>(object: T, owner: KubeObject, { apiVersion, kind }: OwnerKind): T {
	const reference = controllerRef(owner, apiVersion, kind);
	const ownerReferences = [...(object.metadata.ownerReferences ?? []), reference];
	return { ...object, metadata: { ...object.metadata, ownerReferences } };
}

/**
 * Calls `add` with the keys of owners that a change affects: the object's owner or, without one,
 * all owners that may adopt it, by a label in their selector.
 * @param owners must have the index `selector`.
 */
export function followOwned(
	cache: Cache,
	{ kind }: OwnerKind,
	owners: Cache,
	add: (key: string) => void,
): void {
	cache.subscribe((before, after) => {
		for (const object of [before, after]) {
			const owner = object && controllerOf(object);
			if (owner?.kind === kind) add(keyFor(object!.metadata.namespace, owner.name));
		}
		if (!after || controllerOf(after)) return;
		const { namespace, labels = {} } = after.metadata;
		for (const [label, value] of [NO_LABELS, ...Object.entries(labels)])
			for (const owner of owners.by('selector', labelValue(namespace, label, value))) add(keyOf(owner));
	});
}
