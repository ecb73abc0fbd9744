/** The default ClusterRoles and bindings of an API server, and aggregation of ClusterRoles. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { matchesSelector } from '../controllers/selector.ts';
import type { ClusterRole, ClusterRoleBinding, KubeObject, ObjectApi } from '../port.ts';

const DEFAULTS = fileURLToPath(new URL('./bootstrap-roles.yaml', import.meta.url));
/** With the value `false`, the defaults do not change the object. */
const AUTOUPDATE = 'rbac.authorization.kubernetes.io/autoupdate';

interface Defaults {
	clusterroles: ClusterRole[];
	clusterrolebindings: ClusterRoleBinding[];
}

/**
 * Creates the defaults and restores their missing rules and subjects (component-helpers,
 * rbac/reconciliation). Keeps aggregated ClusterRoles up to date
 * (controller/clusterroleaggregation).
 * @returns a function that stops it.
 */
export function ensureBootstrapRoles(objects: ObjectApi): () => void {
	const defaults = parse(readFileSync(DEFAULTS, 'utf8')) as Defaults;
	for (const role of defaults.clusterroles) ensure(objects, 'clusterroles', role, 'rules');
	for (const binding of defaults.clusterrolebindings)
		ensure(objects, 'clusterrolebindings', binding, 'subjects');
	return objects.watch('clusterroles', () => aggregate(objects));
}

/** @param list the field that must contain all wanted entries. */
function ensure(objects: ObjectApi, resource: string, wanted: KubeObject, list: 'rules' | 'subjects'): void {
	const stored = objects.get(resource, undefined, wanted.metadata.name);
	if (!stored) {
		objects.create(resource, wanted);
		return;
	}
	if (stored.metadata.annotations?.[AUTOUPDATE] === 'false') return;
	const entriesOf = (object: KubeObject) => (object[list] ?? []) as readonly unknown[];
	const merged = union([entriesOf(stored), entriesOf(wanted)]);
	if (merged.length > entriesOf(stored).length) objects.update(resource, { ...stored, [list]: merged });
}

/**
 * Sets the rules of each aggregated ClusterRole to those of the ClusterRoles that its selectors
 * match.
 */
function aggregate(objects: ObjectApi): void {
	for (const { metadata } of objects.list('clusterroles')) {
		// an update calls this function recursively
		const role = objects.get('clusterroles', undefined, metadata.name);
		const selectors = role?.aggregationRule?.clusterRoleSelectors;
		if (!role || !selectors) continue;
		const rules = union(
			objects
				.list('clusterroles')
				.filter((one) => one !== role && selectors.some((of) => matchesSelector(of, one.metadata.labels)))
				.map((one) => one.rules ?? []),
		);
		if (!same(rules, role.rules ?? [])) objects.update('clusterroles', { ...role, rules });
	}
}

/** Unique values, in the order of first occurrence. */
function union<T>(lists: readonly (readonly T[])[]): T[] {
	return [...new Map(lists.flat().map((value) => [JSON.stringify(value), value])).values()];
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
