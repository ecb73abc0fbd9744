import { beforeEach, describe, expect, test } from 'vitest';
import { type Api, type ApiError, createApi } from '../../standalone/api/index.ts';
import type { KubeObject, Role, RoleBinding } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';

let api: Api;
beforeEach(() => {
	api = createApi();
});

const RBAC = 'rbac.authorization.k8s.io';
const RULE = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
const role = (...rules: Fields[]): Role => ({ metadata: { name: 'r', namespace: 'default' }, rules });
const binding = (roleRef: Fields, ...subjects: Fields[]): RoleBinding => ({
	metadata: { name: 'b', namespace: 'default' },
	roleRef,
	subjects,
});
const REF = { apiGroup: RBAC, kind: 'Role', name: 'r' };

/** @returns the fields that the API names when it rejects the object */
function faults(resource: string, object: KubeObject): (string | undefined)[] {
	try {
		api.objects.create(resource, object);
		return [];
	} catch (error) {
		return (error as ApiError).details?.causes?.map(({ field }) => field) ?? [(error as Error).message];
	}
}

describe('RBAC objects are validated as a real API server does', () => {
	test.each<[string, string, KubeObject, string[]]>([
		['a rule', 'roles', role(RULE), []],
		['no verbs', 'roles', role({ ...RULE, verbs: [] }), ['rules[0].verbs']],
		['no groups', 'roles', role({ ...RULE, apiGroups: [] }), ['rules[0].apiGroups']],
		['no resources', 'roles', role(RULE, { ...RULE, resources: [] }), ['rules[1].resources']],
		[
			'a path in a namespace',
			'roles',
			role({ verbs: ['get'], nonResourceURLs: ['/x'] }),
			['rules[0].nonResourceURLs'],
		],
		[
			'a path in the cluster',
			'clusterroles',
			{ metadata: { name: 'r' }, rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] },
			[],
		],
		[
			'path and resource',
			'clusterroles',
			{ metadata: { name: 'r' }, rules: [{ ...RULE, nonResourceURLs: ['/x'] }] },
			['rules[0].nonResourceURLs'],
		],
		[
			'no selector',
			'clusterroles',
			{ metadata: { name: 'r' }, aggregationRule: {} },
			['aggregationRule.clusterRoleSelectors'],
		],
		['a name with a colon', 'clusterroles', { metadata: { name: 'system:r' }, rules: [RULE] }, []],
		['a name with a slash', 'clusterroles', { metadata: { name: 'a/b' }, rules: [RULE] }, ['metadata.name']],
		['a role', 'rolebindings', binding(REF, { kind: 'User', name: 'u' }), []],
		['no role', 'rolebindings', binding({ kind: 'Role' }), ['roleRef.name']],
		['another kind', 'rolebindings', binding({ ...REF, kind: 'Pod' }), ['roleRef.kind']],
		[
			'a Role for the cluster',
			'clusterrolebindings',
			{ metadata: { name: 'b' }, roleRef: REF },
			['roleRef.kind'],
		],
		['another subject', 'rolebindings', binding(REF, { kind: 'Pod', name: 'u' }), ['subjects[0].kind']],
		[
			'an account without namespace',
			'clusterrolebindings',
			{
				metadata: { name: 'b' },
				roleRef: { ...REF, kind: 'ClusterRole' },
				subjects: [{ kind: 'ServiceAccount', name: 'x' }],
			},
			['subjects[0].namespace'],
		],
	])('%s in %s', (_name, resource, object, wanted) => {
		expect(faults(resource, object)).toEqual(wanted);
	});

	test('defaults fill in the API group; the role of a binding stays', () => {
		const made = api.objects.create(
			'rolebindings',
			binding({ kind: 'Role', name: 'r' }, { kind: 'Group', name: 'g' }),
		);
		expect(made.roleRef.apiGroup).toBe(RBAC);
		expect(made.subjects![0]!.apiGroup).toBe(RBAC);
		const other = { ...made, roleRef: { ...REF, name: 'other' } };
		expect(() => api.objects.update('rolebindings', other)).toThrow('cannot change roleRef');
	});
});

describe('default ClusterRoles', () => {
	const rules = (name: string) => api.objects.get('clusterroles', undefined, name)!.rules!;

	test('view is in edit, edit is in admin, and none of them may do everything', () => {
		const texts = (name: string) => rules(name).map((rule) => JSON.stringify(rule));
		expect(texts('view').length).toBeGreaterThan(5);
		expect(texts('edit')).toEqual(expect.arrayContaining(texts('view')));
		expect(texts('admin')).toEqual(expect.arrayContaining(texts('edit')));
		for (const name of ['view', 'edit', 'admin'])
			expect(rules(name).filter(({ resources = [] }) => resources.includes('*'))).toEqual([]);
		const secrets = (name: string) => rules(name).some(({ resources = [] }) => resources.includes('secrets'));
		expect([secrets('view'), secrets('edit')]).toEqual([false, true]);
	});

	test('a ClusterRole with the label joins, changes with it and leaves', () => {
		const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
		const before = rules('view');
		const own = { apiGroups: ['x.example'], resources: ['things'], verbs: ['get'] };
		api.objects.create('clusterroles', { metadata: { name: 'things', labels }, rules: [own] });
		for (const name of ['view', 'edit', 'admin']) expect(rules(name)).toContainEqual(own);
		api.objects.delete('clusterroles', undefined, 'things');
		for (const name of ['view', 'edit', 'admin']) expect(rules(name)).not.toContainEqual(own);
		expect(rules('view')).toEqual(before);
	});
});
