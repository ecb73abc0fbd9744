import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { isTerminating, keyFor, keyOf } from './meta.ts';
import { templateHash } from './names.ts';
import { claimPods, followPods, podFromTemplate } from './pod-owner.ts';
import { isAvailable, isFinished, isReady, nextAvailability } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'StatefulSet' };
const REVISION_LABEL = 'controller-revision-hash';

/**
 * StatefulSet -> Pods `<name>-<ordinal>`, one after the other (OrderedReady) or at once (Parallel). Volumes and
 * ControllerRevision objects are not kept: nothing of a Service depends on them.
 */
export function startStatefulSets(ctx: ControllerContext): WorkQueue {
	const { statefulsets } = ctx.caches;
	const queue = ctx.queue('statefulset', (key) => {
		const set = statefulsets.get(key);
		if (!set || isTerminating(set)) return;
		const revision = `${set.metadata.name}-${templateHash(set.spec.template)}`;
		step(ctx, set, byOrdinal(set, claimPods(ctx, set, KIND)), revision);
		const pods = [...byOrdinal(set, ctx.caches.pods.by('owner', set.metadata.uid!)).values()];
		writeStatus(ctx, key, pods, revision);
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	statefulsets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followPods(ctx, queue, KIND, statefulsets);
	return queue;
}

function byOrdinal(set: KubeObject, pods: readonly KubeObject[]): Map<number, KubeObject> {
	const prefix = `${set.metadata.name}-`;
	const numbered = pods
		.filter(
			({ metadata }) => metadata.name.startsWith(prefix) && /^\d+$/.test(metadata.name.slice(prefix.length)),
		)
		.map((pod): [number, KubeObject] => [Number(pod.metadata.name.slice(prefix.length)), pod]);
	return new Map(numbered.sort(([a], [b]) => a - b));
}

/** Does all that may be done at this point; each pod's change leads here again. */
function step(
	ctx: ControllerContext,
	set: KubeObject,
	pods: ReadonlyMap<number, KubeObject>,
	revision: string,
): void {
	const start: number = set.spec.ordinals?.start ?? 0;
	const range = { start, end: start + (set.spec.replicas ?? 1) };
	if (!grow(ctx, set, pods, { ...range, revision })) return;
	if (!shrink(ctx, set, pods, range)) return;
	if (set.spec.updateStrategy?.type !== 'OnDelete') replaceOutdated(ctx, set, pods, { ...range, revision });
}

interface Range {
	start: number;
	/** One after the last ordinal. */
	end: number;
}

function isParallel(set: KubeObject): boolean {
	return set.spec.podManagementPolicy === 'Parallel';
}

function isSettled(ctx: ControllerContext, set: KubeObject, pod: KubeObject | undefined): boolean {
	if (!pod || isTerminating(pod)) return false;
	return isAvailable(pod, set.spec.minReadySeconds ?? 0, ctx.clock.now());
}

/** @returns false when the next step has to wait for a pod. */
function grow(
	ctx: ControllerContext,
	set: KubeObject,
	pods: ReadonlyMap<number, KubeObject>,
	{ start, end, revision }: Range & { revision: string },
): boolean {
	for (let ordinal = start; ordinal < end; ordinal++) {
		const pod = pods.get(ordinal);
		if (!pod) createPod(ctx, set, ordinal, revision);
		else if (isFinished(pod) && !isTerminating(pod)) ctx.caches.pods.delete(pod);
		if (!isParallel(set) && !isSettled(ctx, set, pod)) return false;
	}
	return true;
}

/** Highest ordinal first. @returns false when the next step has to wait for a pod. */
function shrink(
	ctx: ControllerContext,
	set: KubeObject,
	pods: ReadonlyMap<number, KubeObject>,
	{ start, end }: Range,
): boolean {
	const surplus = [...pods].filter(([ordinal]) => ordinal < start || ordinal >= end).reverse();
	for (const [, pod] of surplus) {
		if (!isTerminating(pod)) ctx.caches.pods.delete(pod);
		if (!isParallel(set)) return false;
	}
	return true;
}

/** One pod of another template at a time, highest ordinal first; it is made anew when it is gone. */
function replaceOutdated(
	ctx: ControllerContext,
	set: KubeObject,
	pods: ReadonlyMap<number, KubeObject>,
	{ start, end, revision }: Range & { revision: string },
): void {
	const partition = start + (set.spec.updateStrategy?.rollingUpdate?.partition ?? 0);
	for (let ordinal = end - 1; ordinal >= partition; ordinal--) {
		const pod = pods.get(ordinal);
		if (!pod || isTerminating(pod)) return;
		if (pod.metadata.labels?.[REVISION_LABEL] !== revision) {
			ctx.caches.pods.delete(pod);
			return;
		}
		if (!isSettled(ctx, set, pod)) return;
	}
}

function createPod(ctx: ControllerContext, set: KubeObject, ordinal: number, revision: string): void {
	const name = `${set.metadata.name}-${ordinal}`;
	if (ctx.caches.pods.get(keyFor(set.metadata.namespace, name))) return;
	const pod = podFromTemplate(set, KIND, name);
	const labels = {
		...pod.metadata.labels,
		'apps.kubernetes.io/pod-index': String(ordinal),
		[REVISION_LABEL]: revision,
		'statefulset.kubernetes.io/pod-name': name,
	};
	const subdomain = set.spec.serviceName ? { subdomain: set.spec.serviceName } : {};
	const spec = { ...pod.spec, hostname: name, ...subdomain };
	ctx.caches.pods.create({ ...pod, metadata: { ...pod.metadata, labels }, spec });
}

function writeStatus(
	ctx: ControllerContext,
	key: string,
	pods: readonly KubeObject[],
	revision: string,
): void {
	const set = ctx.caches.statefulsets.get(key);
	if (!set) return;
	const live = pods.filter((pod) => !isFinished(pod));
	const updated = live.filter(({ metadata }) => metadata.labels?.[REVISION_LABEL] === revision).length;
	const done = updated === live.length;
	const currentRevision = done ? revision : (set.status?.currentRevision ?? revision);
	const status = {
		...set.status,
		observedGeneration: set.metadata.generation ?? 1,
		replicas: live.length,
		readyReplicas: live.filter(isReady).length,
		availableReplicas: live.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, ctx.clock.now()))
			.length,
		currentReplicas: live.filter(({ metadata }) => metadata.labels?.[REVISION_LABEL] === currentRevision)
			.length,
		updatedReplicas: updated,
		currentRevision,
		updateRevision: revision,
	};
	ctx.caches.statefulsets.update({ ...set, status }, 'status');
}
