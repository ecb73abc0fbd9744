/** Computes a rolling update: the next number of replicas of each ReplicaSet. */
import type { Deployment } from '../port.ts';

export interface SetState {
	name: string;
	/** Desired replicas (spec.replicas). */
	replicas: number;
	available: number;
	/** Creation time, ms since the epoch. */
	created: number;
}

export interface RolloutLimits {
	replicas: number;
	maxSurge: number;
	maxUnavailable: number;
}

/** A number of pods, or a percentage of the replicas like `25%`. */
export type IntOrPercent = number | string;

/**
 * Rounds surge up and unavailable down. If both are 0, one pod may be unavailable, because the
 * update could not progress otherwise. Recreate uses neither.
 */
export function limitsOf({ spec }: Deployment): RolloutLimits {
	const replicas: number = spec.replicas ?? 1;
	if (spec.strategy?.type === 'Recreate') return { replicas, maxSurge: 0, maxUnavailable: 0 };
	const { maxSurge: surge = '25%', maxUnavailable: unavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
	const maxSurge = resolve(surge, replicas, Math.ceil);
	const wanted = resolve(unavailable, replicas, Math.floor);
	const maxUnavailable = Math.min(maxSurge === 0 && wanted === 0 ? 1 : wanted, replicas);
	return { replicas, maxSurge, maxUnavailable };
}

/** @param round applied to a percentage of the total. */
export function resolve(value: IntOrPercent, total: number, round: (n: number) => number): number {
	if (typeof value === 'number') return value;
	const share = /^(\d+)%$/.exec(value);
	return share ? round((Number(share[1]) * total) / 100) : Number.parseInt(value, 10) || 0;
}

/** Grows the new ReplicaSet by the room that the surge leaves, at most to the desired number. */
export function scaleNew(current: SetState, old: readonly SetState[], limits: RolloutLimits): number {
	if (current.replicas >= limits.replicas) return limits.replicas;
	const total = sum([current, ...old], ({ replicas }) => replicas);
	const room = Math.max(0, limits.replicas + limits.maxSurge - total);
	return current.replicas + Math.min(room, limits.replicas - current.replicas);
}

/**
 * Shrinks old ReplicaSets, oldest first. Removes unavailable replicas first, then as many available
 * ones as the minimum of available pods allows.
 * @returns the next number of replicas for each shrinking set.
 */
export function scaleOld(
	current: SetState,
	old: readonly SetState[],
	limits: RolloutLimits,
): Map<string, number> {
	const next = new Map<string, number>();
	const sets = old.filter(({ replicas }) => replicas > 0).sort((a, b) => a.created - b.created);
	const minAvailable = limits.replicas - limits.maxUnavailable;
	const total = sum([current, ...sets], ({ replicas }) => replicas);
	let budget = total - minAvailable - Math.max(0, current.replicas - current.available);
	for (const set of sets) {
		const unhealthy = Math.min(Math.max(0, set.replicas - set.available), Math.max(0, budget));
		budget -= unhealthy;
		if (unhealthy > 0) next.set(set.name, set.replicas - unhealthy);
	}
	let spare = Math.min(sum([current, ...sets], ({ available }) => available) - minAvailable, budget);
	for (const set of sets) {
		const left = next.get(set.name) ?? set.replicas;
		const fewer = Math.min(left, Math.max(0, spare));
		spare -= fewer;
		if (fewer > 0) next.set(set.name, left - fewer);
	}
	return next;
}

/** A ReplicaSet at a change of the deployment's size during a rollout. */
export interface Share {
	/** Greater than 0. */
	replicas: number;
	/** Maximum number of the deployment's pods when the set was last scaled. */
	maxBefore: number;
}

/**
 * Distributes a change of the deployment's size over its ReplicaSets in proportion to their sizes.
 * The first set gets the rounding remainder.
 * @param change pods to add; negative to remove.
 * @returns the next size of each set.
 */
export function proportion(sets: readonly Share[], change: number, limits: RolloutLimits): number[] {
	const clamp = change > 0 ? Math.min : Math.max;
	let left = change;
	const sizes = sets.map(({ replicas, maxBefore }) => {
		const share = left === 0 ? 0 : clamp(fraction(replicas, maxBefore, limits), left);
		left -= share;
		return replicas + share;
	});
	if (sizes.length > 0) sizes[0] = sizes[0]! + left;
	return sizes.map((size) => Math.max(0, size));
}

function fraction(replicas: number, maxBefore: number, limits: RolloutLimits): number {
	if (limits.replicas === 0) return -replicas;
	if (maxBefore === 0) return 0;
	return Math.round((replicas * (limits.replicas + limits.maxSurge)) / maxBefore) - replicas;
}

export function sum<T>(items: readonly T[], value: (item: T) => number): number {
	return items.reduce((total, item) => total + value(item), 0);
}
