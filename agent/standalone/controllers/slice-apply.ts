import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import type { SlicePlan } from './slice-plan.ts';

export const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * Writes a plan: what is new first and what goes last, so that nobody sees a Service without its endpoints in between.
 * @param since when the cause of the change was noticed, ms since the epoch; written as the trigger time.
 */
export function applySlices(ctx: ControllerContext, plan: SlicePlan, since: number): void {
	const { endpointslices } = ctx.caches;
	for (const slice of plan.create) {
		const name = (slice.metadata.generateName ?? '') + ctx.suffix();
		endpointslices.create(triggered({ ...slice, metadata: { ...slice.metadata, name } }, since));
	}
	for (const slice of plan.update) endpointslices.update(triggered(slice, since));
	for (const slice of plan.remove) endpointslices.delete(slice);
}

export function triggered(object: KubeObject, since: number): KubeObject {
	const annotations = { ...object.metadata.annotations, [TRIGGER_TIME]: new Date(since).toISOString() };
	return { ...object, metadata: { ...object.metadata, annotations } };
}
