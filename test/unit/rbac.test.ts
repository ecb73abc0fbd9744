/**
 * RBAC rules and bindings grant exactly their verbs, and a grantor grants at most its own rights.
 */
import type { V1PolicyRule } from '@kubernetes/client-node';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import type { Access, Authorizer, PolicyRule } from '../../standalone/auth/access.ts';
import { checkEscalation } from '../../standalone/auth/escalation.ts';
import { createAuthorizer, ruleAllows } from '../../standalone/auth/rbac.ts';
import type { User } from '../../standalone/auth/user.ts';
import type { KubeObject } from '../../standalone/port.ts';
import type { Fields } from '../fields.ts';

const GROUP = 'rbac.authorization.k8s.io';
const user = (name: string, ...groups: string[]): User => ({ name, uid: '', groups, extra: {} });

/**
 * Builds a request to authorize.
 * @param path "group/resource/subresource", with empty parts where there are none
 * @param place "namespace/name"
 */
function access(verb: string, path: string, place = '/'): Access {
	const [group = '', resource = '', subresource = ''] = path.split('/');
	const [namespace = '', name = ''] = place.split('/');
	return { kind: 'resource', verb, group, resource, subresource, namespace, name };
}
const path = (verb: string, path: string): Access => ({ kind: 'path', verb, path });
const rule = (verbs: string, groups: string, resources: string, names?: string): V1PolicyRule => ({
	verbs: verbs.split(','),
	apiGroups: groups.split(','),
	resources: resources.split(','),
	...(names ? { resourceNames: names.split(',') } : {}),
});
const url = (verbs: string, urls: string): PolicyRule => ({
	verbs: verbs.split(','),
	nonResourceURLs: urls.split(','),
});

const RULES: readonly [what: string, rule: PolicyRule, allowed: Access[], denied: Access[]][] = [
	[
		'a verb, a group, a resource',
		rule('get,list', '', 'pods'),
		[access('get', '/pods', 'a/x'), access('list', '/pods')],
		[
			access('watch', '/pods'),
			access('get', 'apps/pods'),
			access('get', '/pods/log', 'a/x'),
			access('get', '/secrets'),
		],
	],
	[
		'a subresource',
		rule('create', '', 'pods/exec'),
		[access('create', '/pods/exec', 'a/x')],
		[access('create', '/pods', 'a/x'), access('create', '/pods/attach', 'a/x')],
	],
	[
		'a subresource of every resource',
		rule('get', 'apps', '*/scale'),
		[access('get', 'apps/deployments/scale', 'a/x')],
		[access('get', 'apps/deployments', 'a/x'), access('get', '/replicationcontrollers/scale', 'a/x')],
	],
	[
		'names',
		rule('get,delete', '', 'secrets', 'x,y'),
		[access('get', '/secrets', 'a/x'), access('delete', '/secrets', 'b/y')],
		[access('get', '/secrets', 'a/z'), access('get', '/secrets')],
	],
	[
		'everything of the resources',
		rule('*', '*', '*'),
		[access('impersonate', '/users', '/x'), access('create', '/pods/exec', 'a/x')],
		[path('get', '/metrics')],
	],
	[
		'paths',
		url('get', '/healthz/*,/version'),
		[path('get', '/healthz/x'), path('get', '/version')],
		[path('post', '/version'), path('get', '/versions'), path('get', '/healthz'), access('get', '/pods')],
	],
	['every path', url('*', '*'), [path('post', '/x')], [access('get', '/pods')]],
];
test.each(RULES)('a rule of %s', (_what, given, allowed, denied) => {
	expect(allowed.filter((one) => !ruleAllows(given, one))).toEqual([]);
	expect(denied.filter((one) => ruleAllows(given, one))).toEqual([]);
});

let api: Api;
let authorizer: Authorizer;
beforeEach(() => {
	api = createApi();
	authorizer = createAuthorizer(api.objects);
});

const ref = (kind: string, name: string) => ({ apiGroup: GROUP, kind, name });
const inNamespace = (namespace: string, name: string) => ({ name, namespace });
function make(resource: string, metadata: KubeObject['metadata'], fields: Fields): void {
	api.objects.create(resource, { metadata, ...fields });
}

describe('a binding', () => {
	const reads = [rule('get', '', 'pods')];
	const SUBJECTS: readonly [what: string, subject: Fields, bound: User, others: User[]][] = [
		['a user', { apiGroup: GROUP, kind: 'User', name: 'a' }, user('a'), [user('b'), user('b', 'a')]],
		['a group', { apiGroup: GROUP, kind: 'Group', name: 'g' }, user('x', 'f', 'g'), [user('g'), user('x')]],
		[
			'a service account',
			{ kind: 'ServiceAccount', name: 'a', namespace: 'one' },
			user('system:serviceaccount:one:a'),
			[user('a'), user('system:serviceaccount:two:a'), user('system:serviceaccount:one:b')],
		],
	];
	test.each(SUBJECTS)('of a ClusterRole to %s in a namespace', (_what, subject, bound, others) => {
		make('clusterroles', { name: 'reads' }, { rules: reads });
		const fields = { roleRef: ref('ClusterRole', 'reads'), subjects: [subject] };
		make('rolebindings', inNamespace('default', 'b'), fields);
		const asked = access('get', '/pods', 'default/x');
		expect(authorizer.authorize(bound, asked)).toMatchObject({ allowed: true });
		for (const place of ['kube-system/x', '/'])
			expect(authorizer.authorize(bound, access('get', '/pods', place)).allowed).toBe(false);
		for (const other of others) expect(authorizer.authorize(other, asked).allowed).toBe(false);
	});
	test.each(SUBJECTS)('of a ClusterRole to %s in the cluster', (_what, subject, bound, others) => {
		make('clusterroles', { name: 'reads' }, { rules: reads });
		const fields = { roleRef: ref('ClusterRole', 'reads'), subjects: [subject] };
		make('clusterrolebindings', { name: 'b' }, fields);
		for (const place of ['default/x', 'kube-system/x', '/']) {
			expect(authorizer.authorize(bound, access('get', '/pods', place)).allowed).toBe(true);
			for (const other of others)
				expect(authorizer.authorize(other, access('get', '/pods', place)).allowed).toBe(false);
		}
	});
	test('to a Role of another namespace, or to none, grants nothing', () => {
		make('roles', inNamespace('kube-system', 'reads'), { rules: reads });
		const subjects = [{ apiGroup: GROUP, kind: 'User', name: 'a' }];
		make('rolebindings', inNamespace('default', 'b'), { roleRef: ref('Role', 'reads'), subjects });
		for (const place of ['default/x', 'kube-system/x'])
			expect(authorizer.authorize(user('a'), access('get', '/pods', place)).allowed).toBe(false);
	});
	test('grants from its creation to its deletion, and what the role says by then', () => {
		const asked = access('get', '/pods', 'default/x');
		const allowed = () => authorizer.authorize(user('a'), asked).allowed;
		const subjects = [{ apiGroup: GROUP, kind: 'User', name: 'a' }];
		make('rolebindings', inNamespace('default', 'b'), { roleRef: ref('Role', 'late'), subjects });
		expect(allowed()).toBe(false);
		make('roles', inNamespace('default', 'late'), { rules: reads });
		expect(allowed()).toBe(true);
		const stored = api.objects.get('roles', 'default', 'late')!;
		api.objects.update('roles', { ...stored, rules: [rule('get', '', 'secrets')] });
		expect(allowed()).toBe(false);
		api.objects.update('roles', { ...api.objects.get('roles', 'default', 'late')!, rules: reads });
		expect(allowed()).toBe(true);
		api.objects.delete('rolebindings', 'default', 'b');
		expect(allowed()).toBe(false);
	});
	test('is named in the reason', () => {
		make('roles', inNamespace('default', 'reads'), { rules: reads });
		const subjects = [{ apiGroup: GROUP, kind: 'User', name: 'a' }];
		make('rolebindings', inNamespace('default', 'b'), { roleRef: ref('Role', 'reads'), subjects });
		const { reason } = authorizer.authorize(user('a'), access('get', '/pods', 'default/x'));
		expect(reason).toBe('RBAC: allowed by RoleBinding "b/default" of Role "reads" to User "a"');
	});
});

describe('granting', () => {
	/** Grants the user "a" the rules in every namespace. */
	function hold(...rules: PolicyRule[]): void {
		make('clusterroles', { name: 'held' }, { rules });
		const subjects = [{ apiGroup: GROUP, kind: 'User', name: 'a' }];
		make('clusterrolebindings', { name: 'held' }, { roleRef: ref('ClusterRole', 'held'), subjects });
	}
	function refused(resource: string, object: Fields, old?: Fields): boolean {
		const metadata = { name: 'new', namespace: resource.startsWith('cluster') ? undefined : 'default' };
		const whole = (fields: Fields) => ({ metadata, ...fields }) as KubeObject;
		try {
			checkEscalation(authorizer, api.objects, user('a'), resource, whole(object), old && whole(old));
			return false;
		} catch (error) {
			expect(error).toMatchObject({ code: 403 });
			return true;
		}
	}

	const verbs = fc.uniqueArray(fc.constantFrom('get', 'list', '*'), { minLength: 1, maxLength: 2 });
	const groups = fc.uniqueArray(fc.constantFrom('', 'apps', '*'), { minLength: 1, maxLength: 2 });
	const resources = fc.uniqueArray(fc.constantFrom('pods', 'pods/log', '*/log', 'nodes', '*'), {
		minLength: 1,
		maxLength: 2,
	});
	const names = fc.uniqueArray(fc.constantFrom('x', 'y'), { maxLength: 2 });
	const urls = fc.uniqueArray(fc.constantFrom('/a', '/a/*', '/*', '*'), { minLength: 1, maxLength: 2 });
	const anyRule: fc.Arbitrary<PolicyRule> = fc.oneof(
		fc.record({ verbs, apiGroups: groups, resources, resourceNames: names }),
		fc.record({ verbs, nonResourceURLs: urls }),
	);
	const anyRules = fc.array(anyRule, { minLength: 1, maxLength: 3 });
	const UNIVERSE: Access[] = ['get', 'list', 'delete'].flatMap((verb) => [
		...['', 'apps', 'batch'].flatMap((group) =>
			['pods', 'pods/log', 'nodes', 'nodes/log', 'secrets'].flatMap((resource) =>
				['/', '/x', '/y', '/z'].map((place) => access(verb, `${group}/${resource}`, place)),
			),
		),
		...['/a', '/a/b', '/ab', '/'].map((one) => path(verb, one)),
	]);
	const ESCALATE = access('escalate', `${GROUP}/clusterroles`, '/new');
	test('never passes where the role allows what the grantor may not do', () => {
		let passed = 0;
		fc.assert(
			fc.property(anyRules, anyRules, (held, granted) => {
				api = createApi();
				authorizer = createAuthorizer(api.objects);
				hold(...held);
				fc.pre(!authorizer.authorize(user('a'), ESCALATE).allowed);
				if (refused('clusterroles', { rules: granted })) return;
				passed += 1;
				const more = UNIVERSE.filter((one) => granted.some((each) => ruleAllows(each, one))).filter(
					(one) => !authorizer.authorize(user('a'), one).allowed,
				);
				expect(more).toEqual([]);
			}),
			{ numRuns: 300 },
		);
		expect(passed).toBeGreaterThan(0);
	});
	test('of what the grantor holds passes', () => {
		fc.assert(
			fc.property(anyRules, (held) => {
				api = createApi();
				authorizer = createAuthorizer(api.objects);
				hold(...held);
				expect(refused('clusterroles', { rules: held })).toBe(false);
			}),
			{ numRuns: 100 },
		);
	});

	const more = [rule('get', '', 'secrets')];
	const bindingTo = (kind: string, name: string, subject = 'a'): Fields => ({
		roleRef: ref(kind, name),
		subjects: [{ apiGroup: GROUP, kind: 'User', name: subject }],
	});
	test('needs the rights of the role that is bound, or the verb bind on it', () => {
		make('clusterroles', { name: 'more' }, { rules: more });
		for (const resource of ['rolebindings', 'clusterrolebindings'])
			expect(refused(resource, bindingTo('ClusterRole', 'more'))).toBe(true);
		hold(rule('bind', GROUP, 'clusterroles', 'more'));
		for (const resource of ['rolebindings', 'clusterrolebindings']) {
			expect(refused(resource, bindingTo('ClusterRole', 'more'))).toBe(false);
			expect(refused(resource, bindingTo('ClusterRole', 'cluster-admin'))).toBe(true);
		}
	});
	test('by escalate passes on the named role only', () => {
		hold(rule('escalate', GROUP, 'roles,clusterroles', 'new'));
		for (const resource of ['roles', 'clusterroles']) expect(refused(resource, { rules: more })).toBe(false);
		expect(refused('rolebindings', bindingTo('ClusterRole', 'cluster-admin'))).toBe(true);
	});
	test('does not count where rules and subjects stay, as in a change of labels', () => {
		const bound = bindingTo('ClusterRole', 'cluster-admin', 'b');
		expect(refused('clusterrolebindings', bound, bound)).toBe(false);
		expect(refused('clusterrolebindings', bindingTo('ClusterRole', 'cluster-admin'), bound)).toBe(true);
		expect(refused('roles', { rules: more }, { rules: more })).toBe(false);
		expect(refused('roles', { rules: more }, { rules: [] })).toBe(true);
	});
	test('an aggregated role needs everything', () => {
		hold(...more);
		const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { x: 'y' } }] };
		expect(refused('clusterroles', { aggregationRule, rules: [] })).toBe(true);
	});
});
