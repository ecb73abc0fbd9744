/** Finds problems of pods for `status`. Pure. */
import type { Pod } from '../port.ts';

type ObservedPod = Pick<Pod, 'metadata' | 'status'>;

/**
 * One sentence for each problem: the reason of a waiting container, of an unscheduled pod, or the
 * status message.
 */
export function podProblems(pods: readonly ObservedPod[]): string[] {
	return pods.flatMap((pod) => {
		const { metadata, status } = pod;
		const said = isDone(status) ? [] : [...waitingReasons(pod), ...(status?.message ? [status.message] : [])];
		return said.map((reason) => `Pod ${metadata.namespace}/${metadata.name}: ${reason}`);
	});
}

function isDone(status: Pod['status']): boolean {
	return status?.phase === 'Succeeded';
}

const PASSING = new Set(['ContainerCreating', 'PodInitializing']);

function waitingReasons({ metadata, status }: ObservedPod): string[] {
	if (metadata.deletionTimestamp) return [];
	const { initContainerStatuses = [], containerStatuses = [], conditions = [] } = status ?? {};
	const unscheduled = conditions.find(
		({ type, status: holds }) => type === 'PodScheduled' && holds === 'False',
	);
	const waiting = [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state }) => {
		const { reason, message } = state?.waiting ?? {};
		if (!reason || PASSING.has(reason)) return [];
		return [`container ${name}: ${reason}${message ? `, ${message}` : ''}`];
	});
	return [...(unscheduled ? [unscheduled.message ?? 'no node takes it'] : []), ...waiting];
}
