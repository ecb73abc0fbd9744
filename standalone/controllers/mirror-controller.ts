import type { EndpointSlice } from '../port.ts';
import type { ControllerContext } from './context.ts';
import { byName, isTerminating, keyOf } from './meta.ts';
import { isMirrored, MIRROR_CONTROLLER, planMirror } from './mirror-slices.ts';
import type { WorkQueue } from './queue.ts';
import { applySlices } from './slice-apply.ts';
import { MANAGED_BY_LABEL } from './slice-plan.ts';

/** Endpoints of Services without a selector -> EndpointSlices. */
export function startMirroring(ctx: ControllerContext): WorkQueue {
	const { services, endpoints, endpointslices } = ctx.caches;
	const isOurs = (slice: EndpointSlice) => slice.metadata.labels?.[MANAGED_BY_LABEL] === MIRROR_CONTROLLER;
	const queue = ctx.queue('endpointslice-mirroring', (key, since) => {
		const existing = endpointslices.by('service', key).filter(isOurs).sort(byName);
		const source = endpoints.get(key);
		if (source && !isTerminating(source) && isMirrored(source, services.get(key)))
			applySlices(ctx, planMirror(source, existing), since);
		else for (const slice of existing) endpointslices.delete(slice);
	});
	services.subscribe((before, after) => queue.add(keyOf((after ?? before)!)));
	endpoints.subscribe((before, after) => queue.add(keyOf((after ?? before)!)));
	endpointslices.subscribe((before, after) => {
		const slice = (after ?? before)!;
		const service = isOurs(slice) ? slice.metadata.labels?.['kubernetes.io/service-name'] : undefined;
		if (service) queue.add(`${slice.metadata.namespace}/${service}`);
	});
	return queue;
}
