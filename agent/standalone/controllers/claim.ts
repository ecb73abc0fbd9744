import type { KubeObject } from '../port.ts';
import { type Cache, labelValue } from './cache.ts';
import { NO_LABELS } from './caches.ts';
import { controllerOf, controllerRef, isTerminating, keyFor, keyOf } from './meta.ts';
import { type LabelSelector, matchesSelector, selectByLabels } from './selector.ts';

/** The kind of a controller that owns other objects. */
export interface OwnerKind {
	apiVersion: string;
	kind: string;
}

/**
 * The objects of the owner. One whose labels the selector no longer matches is let go (its owner reference is
 * removed: `kubectl label` takes a pod out of a ReplicaSet that way); a matching one without an owner is adopted.
 * @param cache has the indexes `owner` and `label`.
 * @param accepts what may be adopted at all.
 */
export function claim(
	cache: Cache,
	owner: KubeObject,
	kind: OwnerKind,
	accepts: (object: KubeObject) => boolean = () => true,
): KubeObject[] {
	const selector: LabelSelector | undefined = owner.spec?.selector;
	const claimed: KubeObject[] = [];
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

/** With expressions alone there is no label to look under. */
function candidates(cache: Cache, owner: KubeObject, selector: LabelSelector | undefined): KubeObject[] {
	const labels = selector?.matchLabels ?? {};
	const { namespace } = owner.metadata;
	if (Object.keys(labels).length > 0) return selectByLabels(cache, namespace, labels);
	return [...cache.all()].filter((object) => object.metadata.namespace === namespace);
}

function withoutOwner(object: KubeObject, owner: KubeObject): KubeObject {
	const ownerReferences = (object.metadata.ownerReferences ?? []).filter(
		({ uid }) => uid !== owner.metadata.uid,
	);
	return { ...object, metadata: { ...object.metadata, ownerReferences } };
}

function withOwner(object: KubeObject, owner: KubeObject, { apiVersion, kind }: OwnerKind): KubeObject {
	const reference = controllerRef(owner, apiVersion, kind);
	const ownerReferences = [...(object.metadata.ownerReferences ?? []), reference];
	return { ...object, metadata: { ...object.metadata, ownerReferences } };
}

/**
 * Calls back with the keys of the owners that an object concerns: its owner, or, while it has none, those whose
 * selector has one of its labels and could adopt it.
 * @param owners has the index `selector`.
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
