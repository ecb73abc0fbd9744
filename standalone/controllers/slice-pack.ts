import type { V1Endpoint } from '@kubernetes/client-node';
import type { Json } from '../port.ts';
import type { Endpoint } from './endpoint.ts';
import { canonical } from './meta.ts';

/** An existing slice, for packing. */
export interface PackedSlice {
	name: string;
	endpoints: readonly Endpoint[];
	/** Whether the slice needs an update anyway, for example of a label. */
	stale: boolean;
}

export interface Packing {
	create: Endpoint[][];
	/** New endpoints of each slice, by slice name. */
	update: Map<string, Endpoint[]>;
	/** Names of slices without remaining endpoints. */
	remove: string[];
}

/**
 * Distributes endpoints with equal ports over slices of at most `limit` endpoints. Like the
 * EndpointSlice controller, it prefers few writes to few slices:
 * - Endpoints stay in their slice.
 * - New endpoints first fill slices that need an update anyway, then new slices.
 * - A rest below `limit` goes to the unchanged slice with the best fit, if the whole rest fits.
 * - Nothing is rebalanced.
 */
export function pack(existing: readonly PackedSlice[], desired: readonly Endpoint[], limit: number): Packing {
	const missing = new Map(desired.map((endpoint) => [identity(endpoint), endpoint]));
	const packing: Packing = { create: [], update: new Map(), remove: [] };
	const untouched = new Map<string, readonly Endpoint[]>();
	for (const slice of existing) {
		const { kept, changed } = keep(slice, missing);
		if (!changed) untouched.set(slice.name, slice.endpoints);
		else if (kept.length > 0) packing.update.set(slice.name, kept);
		else packing.remove.push(slice.name);
	}
	const rest = [...missing.values()];
	const byFill = [...packing.update.values()].sort((a, b) => b.length - a.length);
	for (const endpoints of byFill) endpoints.push(...rest.splice(0, Math.max(0, limit - endpoints.length)));
	while (rest.length > 0) {
		const best = rest.length < limit ? bestFit(untouched, rest.length, limit) : undefined;
		if (best === undefined) packing.create.push(rest.splice(0, limit));
		else packing.update.set(best, [...untouched.get(best)!, ...rest.splice(0)]);
	}
	return packing;
}

/** Finds the slice's endpoints that are still desired and removes them from `missing`. */
function keep(slice: PackedSlice, missing: Map<string, Endpoint>): { kept: Endpoint[]; changed: boolean } {
	const kept: Endpoint[] = [];
	let changed = slice.stale;
	for (const before of slice.endpoints) {
		const id = identity(before);
		const after = missing.get(id);
		if (!after) {
			changed = true;
			continue;
		}
		missing.delete(id);
		kept.push(after);
		changed ||= differs(before, after);
	}
	// An empty unchanged slice is the placeholder and is kept
	return { kept, changed };
}

/** Identity of an endpoint: pod and address. */
function identity({ addresses, targetRef }: Endpoint): string {
	return `${addresses.join()} ${targetRef?.namespace}/${targetRef?.name} ${targetRef?.uid}`;
}

/**
 * Whether two versions of an endpoint differ. Hints of endpoints that are not ready do not count.
 * @param before as stored: a user may have removed the conditions
 */
function differs(before: Json<V1Endpoint>, after: Endpoint): boolean {
	if (canonical(before) === canonical(after)) return false;
	const ignoreHints = !after.conditions.ready && !before.conditions?.ready;
	return !ignoreHints || canonical({ ...before, hints: null }) !== canonical({ ...after, hints: null });
}

function bestFit(
	slices: ReadonlyMap<string, readonly Endpoint[]>,
	count: number,
	limit: number,
): string | undefined {
	let best: { name: string; left: number } | undefined;
	for (const [name, endpoints] of slices) {
		const left = limit - endpoints.length - count;
		if (left >= 0 && (!best || left < best.left)) best = { name, left };
	}
	return best?.name;
}
