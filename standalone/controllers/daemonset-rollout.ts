/** Computes the steps of a DaemonSet rollout: the pods to remove and to create on each node. */
import type { DaemonSet, Pod } from '../port.ts';
import { resolve } from './deployment-rollout.ts';
import { byAge, isTerminating } from './meta.ts';

interface PodFacts {
	/** Created from the current template. */
	updated: boolean;
	ready: boolean;
	available: boolean;
}

interface PodState extends PodFacts {
	object: Pod;
}

/** A node that needs a pod. */
export interface NodeState {
	/** Pods of the new and of an old template, without terminating pods. */
	updated: PodState[];
	outdated: PodState[];
	ending: boolean;
}

export interface RolloutLimits {
	/** Maximum number of nodes without a ready pod; 0 only with a surge. */
	maxUnavailable: number;
	/** Maximum number of nodes with an old and a new pod at the same time. */
	maxSurge: number;
	/** False for OnDelete: the rollout waits until the user deletes an old pod. */
	replaces: boolean;
}

export interface NodeStep {
	remove: Pod[];
	create: boolean;
}

export function rolloutLimits({ spec }: DaemonSet, nodes: number): RolloutLimits {
	const update = spec.updateStrategy?.rollingUpdate ?? {};
	const maxSurge = resolve(update.maxSurge ?? 0, nodes, Math.ceil);
	const maxUnavailable = resolve(update.maxUnavailable ?? 1, nodes, Math.ceil);
	return {
		maxSurge,
		maxUnavailable: maxSurge > 0 ? maxUnavailable : Math.max(1, maxUnavailable),
		replaces: spec.updateStrategy?.type !== 'OnDelete',
	};
}

export function nodeState(pods: readonly Pod[], facts: (pod: Pod) => PodFacts): NodeState {
	const live = pods
		.filter((pod) => !isTerminating(pod))
		.sort(byAge)
		.map((object) => ({ object, ...facts(object) }));
	return {
		updated: live.filter(({ updated }) => updated),
		outdated: live.filter(({ updated }) => !updated),
		ending: live.length < pods.length,
	};
}

/**
 * Plans one step for each node, in order. Of two pods of the same template, the newer is removed.
 */
export function planRollout(nodes: readonly NodeState[], limits: RolloutLimits): NodeStep[] {
	const budget = {
		down: nodes.filter(({ updated, outdated }) => ![...updated, ...outdated].some(({ ready }) => ready))
			.length,
		surging: nodes.filter(({ updated, outdated }) => updated.length > 0 && outdated.length > 0).length,
	};
	return nodes.map((node) => {
		const { updated, outdated, ending } = node;
		const remove = [...updated.slice(1), ...outdated.slice(1)].map(({ object }) => object);
		const [fresh, old] = [updated[0], outdated[0]];
		if (!old) return { remove, create: !fresh && !ending };
		if (!limits.replaces) return { remove, create: false };
		return limits.maxSurge > 0
			? surge(old, fresh, remove, budget, limits)
			: replace(old, fresh, remove, budget, limits);
	});
}

interface Budget {
	down: number;
	surging: number;
}

/**
 * Removes the old pod first. An old pod that is not ready serves no traffic and is removed at once.
 */
function replace(
	old: PodState,
	fresh: PodState | undefined,
	remove: Pod[],
	budget: Budget,
	{ maxUnavailable }: RolloutLimits,
): NodeStep {
	if (!fresh && old.ready && budget.down >= maxUnavailable) return { remove, create: false };
	if (!fresh && old.ready) budget.down++;
	return { remove: [...remove, old.object], create: false };
}

/** Creates the new pod first. Removes the old pod when the new one is available. */
function surge(
	old: PodState,
	fresh: PodState | undefined,
	remove: Pod[],
	budget: Budget,
	{ maxSurge }: RolloutLimits,
): NodeStep {
	if (fresh) return { remove: fresh.available ? [...remove, old.object] : remove, create: false };
	if (old.ready && budget.surging >= maxSurge) return { remove, create: false };
	if (old.ready) budget.surging++;
	return { remove, create: true };
}
