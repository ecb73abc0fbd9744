/** Role-based access control with the RBAC objects of the API (plugin/pkg/auth/authorizer/rbac). */
import type { ClusterRoleBinding, ObjectApi, RbacSubject, RoleBinding } from '../port.ts';
import type { Access, Authorizer, Decision, PolicyRule } from './access.ts';
import { MASTERS, serviceAccountName, type User } from './user.ts';

type Binding = ClusterRoleBinding | RoleBinding;

/** The rights of cluster-admin. */
export const EVERYTHING: readonly PolicyRule[] = [
	{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
	{ verbs: ['*'], nonResourceURLs: ['*'] },
];
const DENIED: Decision = { allowed: false, reason: '' };

/** The rules that one binding grants to the user. */
interface Grant {
	readonly rules: readonly PolicyRule[];
	/** For the response to a review. */
	reason(): string;
}

/**
 * Creates an authorizer that evaluates the current objects at each request. It allows everything to
 * members of system:masters.
 */
export function createAuthorizer(objects: ObjectApi): Authorizer {
	return {
		authorize(user, access) {
			if (user.groups.includes(MASTERS)) return { allowed: true, reason: '' };
			const namespace = access.kind === 'resource' ? access.namespace : '';
			for (const { rules, reason } of grantsOf(objects, user, namespace))
				if (rules.some((rule) => ruleAllows(rule, access))) return { allowed: true, reason: reason() };
			return DENIED;
		},
		rulesOf(user, namespace) {
			if (user.groups.includes(MASTERS)) return EVERYTHING;
			return [...grantsOf(objects, user, namespace)].flatMap(({ rules }) => rules);
		},
	};
}

/** Grants by ClusterRoleBindings first, then by the RoleBindings of the namespace. */
function* grantsOf(objects: ObjectApi, user: User, namespace: string): Generator<Grant> {
	for (const binding of objects.list('clusterrolebindings')) yield* grantsBy(objects, user, binding, '');
	if (namespace === '') return;
	for (const binding of objects.list('rolebindings', namespace))
		yield* grantsBy(objects, user, binding, namespace);
}

function* grantsBy(objects: ObjectApi, user: User, binding: Binding, namespace: string): Generator<Grant> {
	const subjects = binding.subjects ?? [];
	const subject = subjects.find((one) => isSubject(user, one, namespace));
	if (!subject) return;
	const rules = roleRules(objects, binding.roleRef, namespace);
	const { kind, name } = binding.roleRef;
	const type = namespace ? 'RoleBinding' : 'ClusterRoleBinding';
	const of = namespace ? `${binding.metadata.name}/${namespace}` : binding.metadata.name;
	yield {
		rules,
		reason: () => `RBAC: allowed by ${type} "${of}" of ${kind} "${name}" to ${subjectText(subject)}`,
	};
}

/** The rules of the role in a binding; none if the role does not exist. */
export function roleRules(
	objects: ObjectApi,
	roleRef: Binding['roleRef'],
	namespace: string,
): readonly PolicyRule[] {
	const role =
		roleRef?.kind === 'ClusterRole'
			? objects.get('clusterroles', undefined, roleRef.name)
			: objects.get('roles', namespace, roleRef?.name);
	return role?.rules ?? [];
}

function isSubject(user: User, { kind, name, namespace }: RbacSubject, bindingNamespace: string): boolean {
	if (kind === 'User') return user.name === name;
	if (kind === 'Group') return user.groups.includes(name);
	const of = namespace || bindingNamespace;
	return kind === 'ServiceAccount' && of !== '' && user.name === serviceAccountName(of, name);
}

const subjectText = ({ kind, name, namespace }: RbacSubject): string =>
	kind === 'ServiceAccount' ? `ServiceAccount "${name}/${namespace}"` : `${kind} "${name}"`;

/** Whether a list of a rule contains the value or `*`. */
export const has = (list: readonly string[] | undefined, value: string): boolean =>
	list?.some((one) => one === '*' || one === value) ?? false;

/** As in rbac/v1 evaluation_helpers.go. */
export function ruleAllows(rule: PolicyRule, access: Access): boolean {
	if (!has(rule.verbs, access.verb)) return false;
	if (access.kind === 'path')
		return rule.nonResourceURLs?.some((url) => pathMatches(url, access.path)) ?? false;
	const { resourceNames = [] } = rule;
	return (
		has(rule.apiGroups, access.group) &&
		resourceMatches(rule.resources, access.resource, access.subresource) &&
		(resourceNames.length === 0 || resourceNames.includes(access.name))
	);
}

function resourceMatches(rules: readonly string[] = [], resource: string, subresource: string): boolean {
	const full = subresource ? `${resource}/${subresource}` : resource;
	return rules.some(
		(rule) => rule === '*' || rule === full || (subresource !== '' && rule === `*/${subresource}`),
	);
}

export const pathMatches = (rule: string, path: string): boolean =>
	rule === '*' || rule === path || (rule.endsWith('*') && path.startsWith(rule.slice(0, -1)));
