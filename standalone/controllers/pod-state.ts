import type { Pod } from '../port.ts';
import { isTerminating } from './meta.ts';

export interface Condition {
	type: string;
	status: string;
	reason?: string;
	message?: string;
	lastTransitionTime?: string;
	lastUpdateTime?: string;
}

/** An object with conditions in its status. */
export interface Conditioned {
	status?: { conditions?: Condition[] };
}

export function conditionOf(object: Conditioned, type: string): Condition | undefined {
	const conditions = object.status?.conditions ?? [];
	return conditions.find((condition) => condition.type === type);
}

export function isReady(object: Conditioned): boolean {
	return conditionOf(object, 'Ready')?.status === 'True';
}

export function isFinished(pod: Pod): boolean {
	return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Whether the pod counts as a replica. */
export function isActive(pod: Pod): boolean {
	return !isFinished(pod) && !isTerminating(pod);
}

/**
 * The time at which the pod became ready, in ms since the epoch. Undefined if it is not ready or
 * lacks the time.
 */
export function readySince(pod: Pod): number | undefined {
	const ready = conditionOf(pod, 'Ready');
	if (ready?.status !== 'True' || !ready.lastTransitionTime) return undefined;
	return Date.parse(ready.lastTransitionTime);
}

/** Whether the pod has been ready for at least minReadySeconds. */
export function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
	if (!isReady(pod)) return false;
	if (minReadySeconds === 0) return true;
	const since = readySince(pod);
	return since !== undefined && since + minReadySeconds * 1000 <= now;
}

/** @returns ms until the next ready pod becomes available; undefined if there is none. */
export function nextAvailability(pods: Iterable<Pod>, minReadySeconds: number, now: number) {
	if (minReadySeconds === 0) return undefined;
	let next: number | undefined;
	for (const pod of pods) {
		const since = readySince(pod);
		if (since === undefined) continue;
		const wait = since + minReadySeconds * 1000 - now;
		if (wait > 0 && (next === undefined || wait < next)) next = wait;
	}
	return next;
}
