import type { KubeObject } from '../port.ts';
import type { ControllerContext } from './context.ts';
import type { SlicePlan } from './slice-plan.ts';

export const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';

/**
 * Writes a plan. Creates new slices first and deletes old ones last, so that a Service never lacks
 * its endpoints in between.
 * @param since time at which the change was observed, in ms since the epoch; becomes the trigger
 * time.
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

export function triggered<T extends KubeObject>(object: T, since: number): T {
	const annotations = { ...object.metadata.annotations, [TRIGGER_TIME]: new Date(since).toISOString() };
	return { ...object, metadata: { ...object.metadata, annotations } };
}
