import type { Pod, StatefulSet } from '../port.ts';
import { isTerminating } from './meta.ts';
import { isAvailable, isFinished, isReady } from './pod-state.ts';
import { REVISION_LABEL } from './revisions.ts';

/**
 * The status for `kubectl rollout status` and `kubectl get statefulsets`.
 * @param pods of the set.
 */
export function statefulSetStatus(
	set: StatefulSet,
	pods: readonly Pod[],
	revisions: { current: string; update: string },
	now: number,
) {
	const live = pods.filter((pod) => !isFinished(pod));
	const of = (revision: string) =>
		live.filter((pod) => !isTerminating(pod) && pod.metadata.labels?.[REVISION_LABEL] === revision).length;
	const counts = {
		replicas: live.length,
		readyReplicas: live.filter(isReady).length,
		availableReplicas: live.filter((pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, now)).length,
		updatedReplicas: of(revisions.update),
	};
	const rolling = set.spec.updateStrategy?.type !== 'OnDelete';
	const done = counts.updatedReplicas === live.length && counts.readyReplicas === live.length;
	const currentRevision = rolling && done ? revisions.update : revisions.current;
	return {
		...set.status,
		observedGeneration: set.metadata.generation ?? 1,
		...counts,
		currentReplicas: of(currentRevision),
		currentRevision,
		updateRevision: revisions.update,
		collisionCount: set.status?.collisionCount ?? 0,
	};
}
