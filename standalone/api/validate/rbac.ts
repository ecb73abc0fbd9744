/** Defaults and validation of RBAC objects, as in pkg/apis/rbac. */
import { isDeepStrictEqual } from 'node:util';
import type { ClusterRole, ClusterRoleBinding, Draft, Incoming, Role, RoleBinding } from '../../port.ts';
import { type FieldError, invalidField, requiredField, unsupportedField } from '../field-error.ts';
import { dnsSubdomain, pathSegment } from '../names.ts';
import { isOneOf } from '../one-of.ts';
import type { Strategy } from '../strategy.ts';

type RuleDraft = Draft<NonNullable<Role['rules']>[number]>;
type SubjectDraft = Draft<NonNullable<RoleBinding['subjects']>[number]>;

const GROUP = 'rbac.authorization.k8s.io';
const RULE_LISTS = ['apiGroups', 'resources', 'resourceNames'] as const;

function validateRule(rule: RuleDraft, field: string, namespaced: boolean): FieldError[] {
	const { verbs = [], apiGroups = [], resources = [], nonResourceURLs = [] } = rule;
	const faults: FieldError[] = [];
	if (verbs.length === 0)
		faults.push(requiredField(`${field}.verbs`, 'verbs must contain at least one value'));
	if (nonResourceURLs.length > 0) {
		if (namespaced)
			faults.push(
				invalidField(
					`${field}.nonResourceURLs`,
					nonResourceURLs,
					'namespaced rules cannot apply to non-resource URLs',
				),
			);
		if (RULE_LISTS.some((list) => (rule[list] ?? []).length > 0))
			faults.push(
				invalidField(
					`${field}.nonResourceURLs`,
					nonResourceURLs,
					'rules cannot apply to both regular resources and non-resource URLs',
				),
			);
		return faults;
	}
	if (apiGroups.length === 0)
		faults.push(requiredField(`${field}.apiGroups`, 'resource rules must supply at least one api group'));
	if (resources.length === 0)
		faults.push(requiredField(`${field}.resources`, 'resource rules must supply at least one resource'));
	return faults;
}

const validateRules =
	(namespaced: boolean) =>
	(role: Incoming<ClusterRole>): FieldError[] => {
		const rules = role.rules ?? [];
		const faults = rules.flatMap((rule, at) => validateRule(rule, `rules[${at}]`, namespaced));
		if (role.aggregationRule && (role.aggregationRule.clusterRoleSelectors ?? []).length === 0)
			faults.push(
				requiredField(
					'aggregationRule.clusterRoleSelectors',
					'at least one clusterRoleSelector required if aggregationRule is non-nil',
				),
			);
		return faults;
	};

/** Sets the API group of the role, and of users and groups. */
function bindingDefaults(binding: Incoming<RoleBinding>): void {
	if (binding.roleRef && !binding.roleRef.apiGroup) binding.roleRef.apiGroup = GROUP;
	for (const subject of binding.subjects ?? [])
		if (!subject.apiGroup && isOneOf(['User', 'Group'], subject.kind)) subject.apiGroup = GROUP;
}

function validateRoleRef(
	{ apiGroup, kind, name }: Draft<RoleBinding['roleRef']>,
	kinds: readonly string[],
): FieldError[] {
	const faults: FieldError[] = [];
	if (apiGroup !== GROUP) faults.push(unsupportedField('roleRef.apiGroup', apiGroup, [GROUP]));
	if (!isOneOf(kinds, kind)) faults.push(unsupportedField('roleRef.kind', kind, kinds));
	if (!name) faults.push(requiredField('roleRef.name'));
	else faults.push(...pathSegment(name).map((why) => invalidField('roleRef.name', name, why)));
	return faults;
}

function validateSubject(subject: SubjectDraft, field: string, namespaced: boolean): FieldError[] {
	const { kind, name, namespace, apiGroup = '' } = subject;
	const faults: FieldError[] = [];
	if (!name) faults.push(requiredField(`${field}.name`));
	if (kind === 'ServiceAccount') {
		if (name) faults.push(...dnsSubdomain(name).map((why) => invalidField(`${field}.name`, name, why)));
		if (apiGroup) faults.push(unsupportedField(`${field}.apiGroup`, apiGroup, ['']));
		if (!namespaced && !namespace) faults.push(requiredField(`${field}.namespace`));
		return faults;
	}
	if (kind !== 'User' && kind !== 'Group')
		return [...faults, unsupportedField(`${field}.kind`, kind, ['ServiceAccount', 'User', 'Group'])];
	if (apiGroup !== GROUP) faults.push(unsupportedField(`${field}.apiGroup`, apiGroup, [GROUP]));
	return faults;
}

function bindingStrategy(namespaced: boolean): Strategy<RoleBinding> {
	const kinds = namespaced ? ['Role', 'ClusterRole'] : ['ClusterRole'];
	return {
		name: pathSegment,
		defaults: bindingDefaults,
		validate: (binding) => [
			...validateRoleRef(binding.roleRef ?? {}, kinds),
			...(binding.subjects ?? []).flatMap((subject, at) =>
				validateSubject(subject, `subjects[${at}]`, namespaced),
			),
		],
		validateUpdate: (binding, old) =>
			isDeepStrictEqual(binding.roleRef, old.roleRef)
				? []
				: [invalidField('roleRef', binding.roleRef, 'cannot change roleRef')],
	};
}

export const RBAC_STRATEGIES: {
	readonly roles: Strategy<Role>;
	readonly clusterroles: Strategy<ClusterRole>;
	readonly rolebindings: Strategy<RoleBinding>;
	readonly clusterrolebindings: Strategy<ClusterRoleBinding>;
} = {
	roles: { name: pathSegment, validate: validateRules(true) },
	clusterroles: { name: pathSegment, validate: validateRules(false) },
	rolebindings: bindingStrategy(true),
	clusterrolebindings: bindingStrategy(false),
};
