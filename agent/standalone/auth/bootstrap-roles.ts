/** ClusterRoles and bindings that every API server has from its start, and ClusterRoles made of others. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { type LabelSelector, matchesSelector } from '../controllers/selector.ts';
import type { KubeObject, ObjectApi } from '../port.ts';
import type { PolicyRule } from './access.ts';

const DEFAULTS = fileURLToPath(new URL('./bootstrap-roles.yaml', import.meta.url));
/** `false`: the owner keeps the object as it is. */
const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';

/**
 * Puts the defaults in place, adds rules and subjects that one of them has lost (component-helpers, rbac/reconciliation), and
 * keeps aggregated ClusterRoles up to date (controller/clusterroleaggregation). @returns stop.
 */
export function ensureBootstrapRoles(objects: ObjectApi): () => void {
	const defaults = parse(readFileSync(DEFAULTS, 'utf8')) as Record<string, KubeObject[]>;
	for (const role of defaults['clusterroles']!) ensure(objects, 'clusterroles', role, 'rules');
	for (const binding of defaults['clusterrolebindings']!)
		ensure(objects, 'clusterrolebindings', binding, 'subjects');
	return objects.watch('clusterroles', () => aggregate(objects));
}

/** @param list field whose entries must all be there. */
function ensure(objects: ObjectApi, resource: string, wanted: KubeObject, list: 'rules' | 'subjects'): void {
	const stored = objects.get(resource, undefined, wanted.metadata.name);
	if (!stored) {
		objects.create(resource, wanted);
		return;
	}
	if (stored.metadata.annotations?.[AUTOUPDATE] === 'false') return;
	const merged = union([stored[list] ?? [], wanted[list] ?? []]);
	if (merged.length > (stored[list]?.length ?? 0)) objects.update(resource, { ...stored, [list]: merged });
}

/** Rules of an aggregated ClusterRole are those of the ClusterRoles that its selectors match. */
function aggregate(objects: ObjectApi): void {
	for (const { metadata } of objects.list('clusterroles')) {
		// an update calls this function again before it returns
		const role = objects.get('clusterroles', undefined, metadata.name);
		const selectors: LabelSelector[] | undefined = role?.['aggregationRule']?.clusterRoleSelectors;
		if (!role || !selectors) continue;
		const rules = union<PolicyRule>(
			objects
				.list('clusterroles')
				.filter((one) => one !== role && selectors.some((of) => matchesSelector(of, one.metadata.labels)))
				.map((one) => one['rules'] ?? []),
		);
		if (!same(rules, role['rules'] ?? [])) objects.update('clusterroles', { ...role, rules });
	}
}

/** Each value once, in the order of its first place. */
function union<T>(lists: readonly (readonly T[])[]): T[] {
	return [...new Map(lists.flat().map((value) => [JSON.stringify(value), value])).values()];
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
