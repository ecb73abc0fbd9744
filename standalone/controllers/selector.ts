import type { V1LabelSelector, V1LabelSelectorRequirement } from '@kubernetes/client-node';
import type { Json, KubeObject } from '../port.ts';
import type { Cache } from './cache.ts';
import { labelValue } from './cache.ts';

export type Labels = Record<string, string>;

export type LabelSelector = Json<V1LabelSelector>;

export function matchesLabels(wanted: Labels, labels: Labels | undefined): boolean {
	return Object.entries(wanted).every(([key, value]) => labels?.[key] === value);
}

/** Unlike in Kubernetes, an empty selector matches nothing: the API rejects workloads with one. */
export function matchesSelector(selector: LabelSelector | undefined, labels: Labels | undefined): boolean {
	const expressions = selector?.matchExpressions ?? [];
	const equal = selector?.matchLabels ?? {};
	if (expressions.length + Object.keys(equal).length === 0) return false;
	return matchesLabels(equal, labels) && expressions.every((term) => matchesTerm(term, labels ?? {}));
}

function matchesTerm(term: Json<V1LabelSelectorRequirement>, labels: Labels): boolean {
	const value = labels[term.key];
	switch (term.operator) {
		case 'In':
			return value !== undefined && (term.values ?? []).includes(value);
		case 'NotIn':
			return value === undefined || !(term.values ?? []).includes(value);
		case 'Exists':
			return value !== undefined;
		case 'DoesNotExist':
			return value === undefined;
		case 'Gt':
			return value !== undefined && Number(value) > Number(term.values?.[0]);
		case 'Lt':
			return value !== undefined && Number(value) < Number(term.values?.[0]);
		default:
			return false;
	}
}

/**
 * Objects of the namespace with all of the labels. Filters the objects with the rarest label, so
 * that the cost depends on the result and not on the number of objects.
 * @param cache must have an index `label` of `labelValue()`s.
 */
export function selectByLabels<T extends KubeObject>(
	cache: Cache<T>,
	namespace: string | undefined,
	wanted: Labels,
): T[] {
	const values = Object.entries(wanted).map(([key, value]) => labelValue(namespace, key, value));
	if (values.length === 0) return [];
	const rarest = values.reduce((a, b) => (cache.countBy('label', b) < cache.countBy('label', a) ? b : a));
	return cache.by('label', rarest).filter((object) => matchesLabels(wanted, object.metadata.labels));
}
