import type { KubeObject } from '../port.ts';
import { type Cache, labelValue } from './cache.ts';
import type { ControllerContext } from './context.ts';
import { controllerOf, controllerRef, isTerminating, keyFor, keyOf } from './meta.ts';
import type { WorkQueue } from './queue.ts';
import { type LabelSelector, matchesSelector, selectByLabels } from './selector.ts';

/** The kind of a controller that owns pods. */
export interface OwnerKind {
	apiVersion: string;
	kind: string;
}

/**
 * Adds the owner of every pod that changes to the queue; of a pod without an owner, those that could adopt it.
 * @param owners has an index `selector`, see caches.ts.
 */
export function followPods(
	ctx: ControllerContext,
	queue: WorkQueue,
	{ kind }: OwnerKind,
	owners: Cache,
): void {
	ctx.caches.pods.subscribe((before, after) => {
		for (const pod of [before, after]) {
			const owner = pod && controllerOf(pod);
			if (owner?.kind === kind) queue.add(keyFor(pod!.metadata.namespace, owner.name));
		}
		if (!after || controllerOf(after)) return;
		for (const [label, value] of Object.entries(after.metadata.labels ?? {}))
			for (const owner of owners.by('selector', labelValue(after.metadata.namespace, label, value)))
				queue.add(keyOf(owner));
	});
}

/**
 * The pods of the owner. A pod whose labels the selector no longer matches is let go (its owner reference is
 * removed: `kubectl label` takes a pod out of a ReplicaSet that way); a matching pod without an owner is adopted.
 */
export function claimPods(ctx: ControllerContext, owner: KubeObject, kind: OwnerKind): KubeObject[] {
	const { pods } = ctx.caches;
	const selector: LabelSelector | undefined = owner.spec?.selector;
	const claimed: KubeObject[] = [];
	for (const pod of pods.by('owner', owner.metadata.uid ?? '')) {
		if (matchesSelector(selector, pod.metadata.labels) || isTerminating(pod)) claimed.push(pod);
		else pods.update(withoutOwner(pod, owner));
	}
	if (isTerminating(owner)) return claimed;
	for (const pod of selectByLabels(pods, owner.metadata.namespace, selector?.matchLabels ?? {})) {
		if (controllerOf(pod) || isTerminating(pod) || !matchesSelector(selector, pod.metadata.labels)) continue;
		claimed.push(pods.update(withOwner(pod, owner, kind)));
	}
	return claimed;
}

function withoutOwner(pod: KubeObject, owner: KubeObject): KubeObject {
	const ownerReferences = (pod.metadata.ownerReferences ?? []).filter(
		({ uid }) => uid !== owner.metadata.uid,
	);
	return { ...pod, metadata: { ...pod.metadata, ownerReferences } };
}

function withOwner(pod: KubeObject, owner: KubeObject, { apiVersion, kind }: OwnerKind): KubeObject {
	const reference = controllerRef(owner, apiVersion, kind);
	const ownerReferences = [...(pod.metadata.ownerReferences ?? []), reference];
	return { ...pod, metadata: { ...pod.metadata, ownerReferences } };
}

/** A pod of the owner's template; the caller adds what makes it one of its own. */
export function podFromTemplate(owner: KubeObject, kind: OwnerKind, name: string): KubeObject {
	const template = owner.spec.template;
	return {
		apiVersion: 'v1',
		kind: 'Pod',
		metadata: {
			name,
			namespace: owner.metadata.namespace!,
			labels: { ...template.metadata?.labels },
			...(template.metadata?.annotations ? { annotations: { ...template.metadata.annotations } } : {}),
			ownerReferences: [controllerRef(owner, kind.apiVersion, kind.kind)],
		},
		spec: structuredClone(template.spec),
	};
}
