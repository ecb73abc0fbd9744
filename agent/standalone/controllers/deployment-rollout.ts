/** The arithmetic of a rolling update, free of objects: how many replicas each ReplicaSet should have next. */

export interface SetState {
	name: string;
	/** Wished for (spec.replicas). */
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

/** A number of pods or a percentage of the replicas, e.g. `25%`. */
export type IntOrPercent = number | string;

/**
 * Surge is rounded up and unavailable down; both 0 would never make progress, so that then one may be unavailable.
 */
export function limitsOf(
	replicas: number,
	surge: IntOrPercent = '25%',
	unavailable: IntOrPercent = '25%',
): RolloutLimits {
	const maxSurge = resolve(surge, replicas, Math.ceil);
	const maxUnavailable = Math.min(resolve(unavailable, replicas, Math.floor), replicas);
	return { replicas, maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}

function resolve(value: IntOrPercent, total: number, round: (n: number) => number): number {
	if (typeof value === 'number') return value;
	const share = /^(\d+)%$/.exec(value);
	return share ? round((Number(share[1]) * total) / 100) : Number.parseInt(value, 10) || 0;
}

/** New ReplicaSet: as many more as all sets together may have, and never more than wished for. */
export function scaleNew(current: SetState, old: readonly SetState[], limits: RolloutLimits): number {
	if (current.replicas >= limits.replicas) return limits.replicas;
	const total = sum([current, ...old], ({ replicas }) => replicas);
	const room = Math.max(0, limits.replicas + limits.maxSurge - total);
	return current.replicas + Math.min(room, limits.replicas - current.replicas);
}

/**
 * Old ReplicaSets, oldest first: replicas that are not available go first, then as many available ones as the
 * minimum of available pods allows.
 * @returns the sets that shrink, with their next number of replicas.
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

export function sum<T>(items: readonly T[], value: (item: T) => number): number {
	return items.reduce((total, item) => total + value(item), 0);
}
