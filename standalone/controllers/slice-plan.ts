import type { EndpointSlice } from '../port.ts';
import type { Endpoint } from './endpoint.ts';
import { type EndpointPort, portsKey } from './endpoint-ports.ts';
import { canonical } from './meta.ts';
import { pack } from './slice-pack.ts';

export const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
export const HEADLESS_LABEL = 'service.kubernetes.io/headless';

/** A slice to be created. It has no name yet. */
export type NewSlice = EndpointSlice & Required<Pick<EndpointSlice, 'endpoints' | 'ports'>>;

/** The writes that bring slices to their desired state. */
export interface SlicePlan {
	create: NewSlice[];
	update: EndpointSlice[];
	remove: EndpointSlice[];
}

/** Endpoints with equal ports. */
export interface Group {
	ports: EndpointPort[];
	endpoints: Endpoint[];
}

/** Common properties of the slices of one family. */
export interface SliceShape {
	labels: Record<string, string>;
	make: (ports: EndpointPort[], endpoints: Endpoint[]) => NewSlice;
	/** Maximum number of endpoints in a slice. */
	limit: number;
}

/**
 * The type casts of existing slices assume that a controller wrote all their fields.
 * @param groups by `portsKey()`. @param existing slices of one family.
 */
export function planGroups(
	existing: readonly EndpointSlice[],
	groups: ReadonlyMap<string, Group>,
	shape: SliceShape,
): SlicePlan {
	const plan: SlicePlan = { create: [], update: [], remove: [] };
	const slicesByPorts = Map.groupBy(existing, (slice) => portsKey((slice.ports ?? []) as EndpointPort[]));
	for (const [key, slices] of slicesByPorts) if (!groups.has(key)) plan.remove.push(...slices);
	for (const [key, group] of groups) planGroup(plan, slicesByPorts.get(key) ?? [], group, shape);
	return plan;
}

function planGroup(plan: SlicePlan, slices: readonly EndpointSlice[], group: Group, shape: SliceShape): void {
	const packed = slices.map((slice) => ({
		name: slice.metadata.name,
		endpoints: (slice.endpoints ?? []) as Endpoint[],
		stale: !hasLabels(slice, shape.labels),
	}));
	const packing = pack(packed, group.endpoints, shape.limit);
	for (const part of packing.create) plan.create.push(shape.make(group.ports, part));
	for (const slice of slices) {
		const part = packing.update.get(slice.metadata.name);
		if (part) plan.update.push(rewritten(slice, shape.labels, part));
		else if (packing.remove.includes(slice.metadata.name)) plan.remove.push(slice);
	}
}

/** Saves writes: reuses a slice to be removed in place of one to be created. */
export function recycle({ create, update, remove }: SlicePlan, labels: Record<string, string>): SlicePlan {
	const count = Math.min(create.length, remove.length);
	const reused = remove.slice(0, count).map((slice, i) => {
		const { ports, endpoints } = create[i]!;
		return { ...rewritten(slice, labels, endpoints), ports };
	});
	return { create: create.slice(count), update: [...update, ...reused], remove: remove.slice(count) };
}

function rewritten(
	slice: EndpointSlice,
	labels: Record<string, string>,
	endpoints: NewSlice['endpoints'],
): EndpointSlice {
	return { ...slice, metadata: { ...slice.metadata, labels }, endpoints };
}

export function hasLabels(slice: EndpointSlice, labels: Record<string, string>): boolean {
	return canonical(slice.metadata.labels ?? {}) === canonical(labels);
}

export function merge(plans: readonly SlicePlan[]): SlicePlan {
	return {
		create: plans.flatMap(({ create }) => create),
		update: plans.flatMap(({ update }) => update),
		remove: plans.flatMap(({ remove }) => remove),
	};
}
