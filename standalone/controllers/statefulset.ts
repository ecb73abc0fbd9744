import type { ControllerRevision, Pod, StatefulSet } from '../port.ts';
import { claim, followOwned } from './claim.ts';
import type { ControllerContext } from './context.ts';
import { isTerminating, keyFor, keyOf } from './meta.ts';
import { createPod, deletePod, podFromTemplate } from './pod-control.ts';
import { isAvailable, isFinished, nextAvailability } from './pod-state.ts';
import type { WorkQueue } from './queue.ts';
import { currentRevision, pruneRevisions, REVISION_LABEL, revisionsOf, templateOf } from './revisions.ts';
import { statefulSetStatus } from './statefulset-status.ts';

const KIND = { apiVersion: 'apps/v1', kind: 'StatefulSet' };

/**
 * StatefulSet -> Pods `<name>-<ordinal>`, one after the other (OrderedReady) or at once (Parallel).
 * Creates no volumes, because Services do not depend on them.
 */
export function startStatefulSets(ctx: ControllerContext): WorkQueue {
	const { statefulsets } = ctx.caches;
	const queue = ctx.queue('statefulset', (key) => {
		const set = statefulsets.get(key);
		if (!set || isTerminating(set)) return;
		const claimed = claim(ctx.caches.pods, set, KIND, (pod) => ordinalOf(set, pod) !== undefined);
		const revisions = revisionsOf(ctx, set, KIND);
		const update = currentRevision(ctx, set, KIND, revisions);
		const named = revisions.find(({ metadata }) => metadata.name === set.status?.currentRevision);
		const rollout = rolloutOf(set, named ?? update, update);
		step(ctx, rollout, byOrdinal(set, claimed));
		const pods = [...byOrdinal(set, ctx.caches.pods.by('owner', set.metadata.uid!)).values()];
		const stored = writeStatus(ctx, key, pods, rollout);
		prune(ctx, stored, revisions, pods);
		const wait = nextAvailability(pods, set.spec.minReadySeconds ?? 0, ctx.clock.now());
		if (wait !== undefined) queue.addAfter(key, wait);
	});
	statefulsets.subscribe((_before, after) => after && queue.add(keyOf(after)));
	followOwned(ctx.caches.pods, KIND, statefulsets, queue.add);
	return queue;
}

/** State and goal of a sync. */
interface Rollout {
	set: StatefulSet;
	/** The revision of the last finished rollout, and the revision of the set's template. */
	current: ControllerRevision;
	update: ControllerRevision;
	/** The first ordinal, and the last ordinal plus one. */
	start: number;
	end: number;
	/** Pods with a lower ordinal keep the current revision. */
	partition: number;
}

function rolloutOf(set: StatefulSet, current: ControllerRevision, update: ControllerRevision): Rollout {
	const start = set.spec.ordinals?.start ?? 0;
	const end = start + (set.spec.replicas ?? 1);
	const partition = start + (set.spec.updateStrategy?.rollingUpdate?.partition ?? 0);
	return { set, current, update, start, end, partition };
}

function ordinalOf(set: StatefulSet, { metadata }: Pod): number | undefined {
	const prefix = `${set.metadata.name}-`;
	const rest = metadata.name.slice(prefix.length);
	return metadata.name.startsWith(prefix) && /^\d+$/.test(rest) ? Number(rest) : undefined;
}

type Pods = ReadonlyMap<number, Pod>;

function byOrdinal(set: StatefulSet, pods: readonly Pod[]): Pods {
	const numbered = pods.flatMap((pod): [number, Pod][] => {
		const ordinal = ordinalOf(set, pod);
		return ordinal === undefined ? [] : [[ordinal, pod]];
	});
	return new Map(numbered.sort(([a], [b]) => a - b));
}

/** Makes all changes that are possible now. Each change of a pod triggers another sync. */
function step(ctx: ControllerContext, rollout: Rollout, pods: Pods): void {
	if (!grow(ctx, rollout, pods)) return;
	if (!shrink(ctx, rollout, pods)) return;
	if (rollout.set.spec.updateStrategy?.type !== 'OnDelete') replaceOutdated(ctx, rollout, pods);
}

function isParallel(set: StatefulSet): boolean {
	return set.spec.podManagementPolicy === 'Parallel';
}

function isSettled(ctx: ControllerContext, set: StatefulSet, pod: Pod | undefined): boolean {
	if (!pod || isTerminating(pod)) return false;
	return isAvailable(pod, set.spec.minReadySeconds ?? 0, ctx.clock.now());
}

/** @returns false if the next step must wait for a pod. */
function grow(ctx: ControllerContext, rollout: Rollout, pods: Pods): boolean {
	const { set, start, end } = rollout;
	for (let ordinal = start; ordinal < end; ordinal++) {
		const pod = pods.get(ordinal);
		if (!pod) newPod(ctx, rollout, ordinal);
		else if (isFinished(pod)) deletePod(ctx, set, pod);
		if (!isParallel(set) && !isSettled(ctx, set, pod)) return false;
	}
	return true;
}

/**
 * Deletes surplus pods, highest ordinal first.
 * @returns false if the next step must wait for a pod.
 */
function shrink(ctx: ControllerContext, { set, start, end }: Rollout, pods: Pods): boolean {
	const surplus = [...pods].filter(([ordinal]) => ordinal < start || ordinal >= end).reverse();
	for (const [, pod] of surplus) {
		deletePod(ctx, set, pod);
		if (!isParallel(set)) return false;
	}
	return true;
}

/** Deletes one outdated pod at a time, highest ordinal first. A later sync creates it again. */
function replaceOutdated(ctx: ControllerContext, rollout: Rollout, pods: Pods): void {
	const { set, update, end, partition } = rollout;
	for (let ordinal = end - 1; ordinal >= partition; ordinal--) {
		const pod = pods.get(ordinal);
		if (!pod || isTerminating(pod)) return;
		if (pod.metadata.labels?.[REVISION_LABEL] !== update.metadata.name) {
			deletePod(ctx, set, pod);
			return;
		}
		if (!isSettled(ctx, set, pod)) return;
	}
}

/**
 * The revision for a new pod. Below the partition, a lost pod returns with the current revision.
 */
function revisionFor({ set, current, update, partition }: Rollout, ordinal: number): ControllerRevision {
	const rolling = set.spec.updateStrategy?.type !== 'OnDelete';
	return rolling && ordinal < partition ? current : update;
}

function newPod(ctx: ControllerContext, rollout: Rollout, ordinal: number): void {
	const { set } = rollout;
	const name = `${set.metadata.name}-${ordinal}`;
	if (ctx.caches.pods.get(keyFor(set.metadata.namespace, name))) return;
	const revision = revisionFor(rollout, ordinal);
	const pod = podFromTemplate(set, KIND, name, templateOf(revision));
	const labels = {
		...pod.metadata.labels,
		'apps.kubernetes.io/pod-index': String(ordinal),
		[REVISION_LABEL]: revision.metadata.name,
		'statefulset.kubernetes.io/pod-name': name,
	};
	const subdomain = set.spec.serviceName ? { subdomain: set.spec.serviceName } : {};
	const spec = { ...pod.spec, hostname: name, ...subdomain };
	createPod(ctx, set, { ...pod, metadata: { ...pod.metadata, labels }, spec });
}

function writeStatus(
	ctx: ControllerContext,
	key: string,
	pods: readonly Pod[],
	{ current, update }: Rollout,
): StatefulSet | undefined {
	const set = ctx.caches.statefulsets.get(key);
	if (!set) return undefined;
	const names = { current: current.metadata.name, update: update.metadata.name };
	const status = statefulSetStatus(set, pods, names, ctx.clock.now());
	return ctx.caches.statefulsets.update({ ...set, status }, 'status');
}

function prune(
	ctx: ControllerContext,
	set: StatefulSet | undefined,
	revisions: readonly ControllerRevision[],
	pods: readonly Pod[],
): void {
	if (!set) return;
	const used = new Set([
		set.status!.currentRevision,
		set.status!.updateRevision,
		...pods.map(({ metadata }) => metadata.labels?.[REVISION_LABEL]),
	]);
	pruneRevisions(ctx, set, revisions, ({ metadata }) => used.has(metadata.name));
}
