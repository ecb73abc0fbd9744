import type { Pod } from '../port.ts';
import { isReady, readySince } from './pod-state.ts';

const PHASES: readonly (string | undefined)[] = ['Pending', 'Unknown', 'Running'];

/**
 * Orders pods for deletion. First are pods without a node, then pods that are not running, not
 * ready, with a lower `controller.kubernetes.io/pod-deletion-cost`, on a node with more pods of the
 * set, ready for a shorter time, and newer.
 */
export function rankForDeletion(pods: readonly Pod[]): Pod[] {
	const perNode = Map.groupBy(pods, (pod) => String(pod.spec?.nodeName ?? ''));
	const sharing = (pod: Pod) => perNode.get(String(pod.spec?.nodeName ?? ''))!.length;
	const keys = new Map(pods.map((pod) => [pod, [...readiness(pod), -sharing(pod), ...age(pod)]]));
	return pods.toSorted(
		(a, b) => compare(keys.get(a)!, keys.get(b)!) || (a.metadata.name < b.metadata.name ? 1 : -1),
	);
}

function readiness(pod: Pod): number[] {
	const cost = Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0);
	return [pod.spec?.nodeName ? 1 : 0, PHASES.indexOf(pod.status?.phase), isReady(pod) ? 1 : 0, cost || 0];
}

/** Negated times, so that the latest comes first. */
function age(pod: Pod): number[] {
	return [-(readySince(pod) ?? 0), -Date.parse(pod.metadata.creationTimestamp ?? '') || 0];
}

function compare(a: number[], b: number[]): number {
	for (const [i, value] of a.entries()) if (value !== b[i]) return value - b[i]!;
	return 0;
}
