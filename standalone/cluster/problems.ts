/** Finds problems of pods for `status`. Pure. */
import type { Fields, KubeObject } from '../port.ts';

/**
 * One sentence for each problem: the reason of a waiting container, of an unscheduled pod, or the
 * status message.
 */
export function podProblems(pods: readonly KubeObject[]): string[] {
	return pods.flatMap((pod) => {
		const { metadata, status } = pod;
		const said = isDone(status) ? [] : [...waitingReasons(pod), ...(status?.message ? [status.message] : [])];
		return said.map((reason) => `Pod ${metadata.namespace}/${metadata.name}: ${reason}`);
	});
}

function isDone(status: Fields): boolean {
	return status?.phase === 'Succeeded';
}

const PASSING = new Set(['ContainerCreating', 'PodInitializing']);

function waitingReasons({ metadata, status }: KubeObject): string[] {
	if (metadata.deletionTimestamp) return [];
	const { initContainerStatuses = [], containerStatuses = [], conditions = [] } = status ?? {};
	const unscheduled = conditions.find(
		({ type, status: holds }: Fields) => type === 'PodScheduled' && holds === 'False',
	);
	const waiting = [...initContainerStatuses, ...containerStatuses].flatMap(({ name, state }: Fields) => {
		const { reason, message } = state?.waiting ?? {};
		if (!reason || PASSING.has(reason)) return [];
		return [`container ${name}: ${reason}${message ? `, ${message}` : ''}`];
	});
	return [...(unscheduled ? [unscheduled.message ?? 'no node takes it'] : []), ...waiting];
}
