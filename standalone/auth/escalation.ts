/**
 * Checks grants: users may grant only rights that they have (registry/rbac, policybased storage).
 */
import { forbidden } from '../api/errors.ts';
import type { ClusterRole, KubeObject, ObjectApi, RoleBinding } from '../port.ts';
import type { Authorizer, PolicyRule } from './access.ts';
import { EVERYTHING, has, pathMatches, roleRules } from './rbac.ts';
import { MASTERS, type User } from './user.ts';

const GROUP = 'rbac.authorization.k8s.io';
const ROLES = new Map([
	['roles', 'Role'],
	['clusterroles', 'ClusterRole'],
]);
const BINDINGS = new Map([
	['rolebindings', 'RoleBinding'],
	['clusterrolebindings', 'ClusterRoleBinding'],
]);

/**
 * @param object the object to store.
 * @param old the stored object that it replaces.
 * @throws ApiError 403.
 */
export function checkEscalation(
	authorizer: Authorizer,
	objects: ObjectApi,
	user: User,
	resource: string,
	object: KubeObject,
	old: KubeObject | undefined,
): void {
	if (user.groups.includes(MASTERS)) return;
	const namespace = object.metadata.namespace ?? '';
	if (ROLES.has(resource)) {
		const fields = ['rules', 'aggregationRule'];
		if (old && fields.every((field) => same(old[field], object[field]))) return;
		if (may(authorizer, user, 'escalate', resource, namespace, object.metadata.name)) return;
		const { aggregationRule, rules } = object as ClusterRole;
		const granted = aggregationRule ? EVERYTHING : (rules ?? []);
		requireRules(authorizer, user, namespace, granted, {
			resource,
			kind: ROLES.get(resource)!,
			name: object.metadata.name,
		});
	} else if (BINDINGS.has(resource)) {
		const { roleRef } = object as RoleBinding;
		if (old && same(old['roleRef'], roleRef) && same(old['subjects'], object['subjects'])) return;
		const role = roleRef?.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
		if (may(authorizer, user, 'bind', role, namespace, roleRef?.name ?? '')) return;
		requireRules(authorizer, user, namespace, roleRules(objects, roleRef, namespace), {
			resource,
			kind: BINDINGS.get(resource)!,
			name: object.metadata.name,
		});
	}
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? []) === JSON.stringify(b ?? []);

function may(
	authorizer: Authorizer,
	user: User,
	verb: string,
	resource: string,
	namespace: string,
	name: string,
): boolean {
	const access = {
		kind: 'resource',
		verb,
		group: GROUP,
		resource,
		subresource: '',
		namespace,
		name,
	} as const;
	return authorizer.authorize(user, access).allowed;
}

interface Target {
	readonly resource: string;
	readonly kind: string;
	readonly name: string;
}

function requireRules(
	authorizer: Authorizer,
	user: User,
	namespace: string,
	granted: readonly PolicyRule[],
	{ resource, kind, name }: Target,
): void {
	const held = authorizer.rulesOf(user, namespace);
	const missing = granted.flatMap(breakDown).filter((rule) => !held.some((one) => covers(one, rule)));
	if (missing.length === 0) return;
	throw forbidden(
		{ group: GROUP, resource, kind },
		name,
		`user ${JSON.stringify(user.name)} (groups=${JSON.stringify(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${missing.map(describe).join('\n')}`,
	);
}

/** Splits a rule into rules with one verb, group, resource and name each. */
function breakDown(rule: PolicyRule): PolicyRule[] {
	const names = rule.resourceNames?.length ? rule.resourceNames.map((name) => [name]) : [undefined];
	const parts: PolicyRule[] = [];
	for (const verb of rule.verbs) {
		for (const group of rule.apiGroups ?? [])
			for (const resource of rule.resources ?? [])
				for (const resourceNames of names)
					parts.push({
						verbs: [verb],
						apiGroups: [group],
						resources: [resource],
						...(resourceNames ? { resourceNames } : {}),
					});
		for (const url of rule.nonResourceURLs ?? []) parts.push({ verbs: [verb], nonResourceURLs: [url] });
	}
	return parts;
}

/** Whether the held rule grants the rights of a single-valued rule. */
function covers(
	held: PolicyRule,
	{ verbs, apiGroups, resources, resourceNames, nonResourceURLs }: PolicyRule,
): boolean {
	if (!has(held.verbs, verbs[0]!)) return false;
	const url = nonResourceURLs?.[0];
	if (url !== undefined) return held.nonResourceURLs?.some((one) => pathMatches(one, url)) ?? false;
	const names = held.resourceNames ?? [];
	const name = resourceNames?.[0];
	const resource = resources![0]!;
	const star = resource.includes('/') ? `*/${resource.split('/')[1]}` : resource;
	return (
		has(held.apiGroups, apiGroups![0]!) &&
		(has(held.resources, resource) || (held.resources ?? []).includes(star)) &&
		(names.length === 0 || (name !== undefined && names.includes(name)))
	);
}

function describe({ apiGroups, resources, resourceNames, nonResourceURLs, verbs }: PolicyRule): string {
	const list = (name: string, values: readonly string[] | undefined) =>
		values ? [`${name}:${JSON.stringify(values)}`] : [];
	return `{${[
		...list('APIGroups', apiGroups),
		...list('Resources', resources),
		...list('ResourceNames', resourceNames),
		...list('NonResourceURLs', nonResourceURLs),
		...list('Verbs', verbs),
	].join(', ')}}`;
}
