/**
 * Service accounts, agents and impersonated users have exactly the rights that RBAC grants
 * (docs/security.md).
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MASTERS } from '../../standalone/auth/user.ts';
import { readKubeconfig } from '../../standalone/cluster/kubeconfig.ts';
import { GuardedCluster } from './support/guarded-cluster.ts';
import { maglane } from './support/standalone-cluster.ts';
import { bearer, JSON_TYPE, POD_ACCOUNT, type Sent, sleeper, typed } from './support/trespass.ts';

const RBAC = 'rbac.authorization.k8s.io';
const ACCOUNTS = ['reader', 'lister', 'climber'];

let cluster: GuardedCluster;
const tokens: Record<string, string> = {};

beforeAll(async () => {
	// The strictest umask: files for programs in pods must be readable all the same
	const umask = process.umask(0o077);
	cluster = await GuardedCluster.start('rights', ...ACCOUNTS);
	process.umask(umask);
	await cluster.env.apply(...grants());
	for (const pod of ['attacker', ...ACCOUNTS]) tokens[pod] = await cluster.tokenOf(pod);
});
afterAll(async () => {
	await cluster?.[Symbol.asyncDispose]();
});

/** Grants the reader its namespace and the lister the cluster. */
function grants(): object[] {
	const apiVersion = `${RBAC}/v1`;
	const account = (name: string) => [{ kind: 'ServiceAccount', name, namespace: cluster.env.namespace }];
	const role = (kind: string, name: string, rules: object[]) => [
		{ apiVersion, kind, metadata: { name }, rules },
		{
			apiVersion,
			kind: `${kind}Binding`,
			metadata: { name },
			roleRef: { apiGroup: RBAC, kind, name },
			subjects: account(name),
		},
	];
	const writes = ['get', 'create', 'update', 'patch'];
	return [
		...role('Role', 'reader', [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] }]),
		...role('ClusterRole', 'lister', [{ apiGroups: [''], resources: ['nodes'], verbs: ['list'] }]),
		...role('ClusterRole', 'climber', [
			{
				apiGroups: [RBAC],
				resources: ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings'],
				verbs: writes,
			},
		]),
	];
}

/** The status of a request with a token. */
async function codeFor(token: string, { path, method = 'GET', object }: Asked): Promise<number> {
	const patch = typed('application/merge-patch+json');
	const headers = { ...bearer(tokens[token]), ...(method === 'PATCH' ? patch : typed(JSON_TYPE)) };
	const body = object ? { body: JSON.stringify(object) } : {};
	return (await cluster.send({ method, path, headers, ...body })).code;
}

interface Asked {
	readonly method?: string;
	readonly path: string;
	readonly object?: object;
}

const rbac = (resource: string) => `/apis/${RBAC}/v1/${resource}`;
const rbacInside = (resource: string) => rbac(`namespaces/${cluster.env.namespace}/${resource}`);

test('a program of any user of a pod uses its service account, names and DNS', async () => {
	const asUser = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'sh', '-c'];
	const url = `https://kubernetes.default.svc${cluster.inside('configmaps/victim')}`;
	const ask = `curl -s --cacert ${POD_ACCOUNT}/ca.crt -H "Authorization: Bearer $(cat ${POD_ACCOUNT}/token)" ${url}`;
	const answer = await cluster.env.kubectl('exec', 'reader', '--', ...asUser, ask);
	expect(JSON.parse(answer)).toMatchObject({ kind: 'ConfigMap', data: { value: 'one' } });
	const files = await cluster.env.kubectl(
		'exec',
		'reader',
		'--',
		...asUser,
		`cat /etc/hosts ${POD_ACCOUNT}/namespace`,
	);
	expect(files).toMatch(/reader[\s\S]*e2e-rights/);
});

describe('a token of a service account with a binding', () => {
	const GRANTED: readonly [token: string, what: string, code: number, asked: () => Asked][] = [
		['reader', 'lists ConfigMaps', 200, () => ({ path: cluster.inside('configmaps') })],
		['reader', 'gets a ConfigMap', 200, () => ({ path: cluster.inside('configmaps/victim') })],
		['reader', 'watches ConfigMaps', 403, () => ({ path: `${cluster.inside('configmaps')}?watch=true` })],
		[
			'reader',
			'deletes a ConfigMap',
			403,
			() => ({ method: 'DELETE', path: cluster.inside('configmaps/victim') }),
		],
		[
			'reader',
			'patches a ConfigMap',
			403,
			() => ({ method: 'PATCH', path: cluster.inside('configmaps/victim'), object: { data: {} } }),
		],
		['reader', 'lists ConfigMaps of another namespace', 403, () => ({ path: KUBE_SYSTEM })],
		['reader', 'lists ConfigMaps of all namespaces', 403, () => ({ path: '/api/v1/configmaps' })],
		['reader', 'lists Secrets', 403, () => ({ path: cluster.inside('secrets') })],
		['reader', 'lists nodes', 403, () => ({ path: '/api/v1/nodes' })],
		['lister', 'lists nodes', 200, () => ({ path: '/api/v1/nodes' })],
		['lister', 'gets a node', 403, () => ({ path: '/api/v1/nodes/node1' })],
		['lister', 'lists ConfigMaps', 403, () => ({ path: cluster.inside('configmaps') })],
		['lister', 'lists pods', 403, () => ({ path: cluster.inside('pods') })],
	];
	const KUBE_SYSTEM = '/api/v1/namespaces/kube-system/configmaps';
	test.each(GRANTED)('%s %s: %i', async (token, _what, code, asked) => {
		expect(await codeFor(token, asked())).toBe(code);
	});
});

describe('a service account that may write RBAC objects cannot raise its rights', () => {
	const roleRef = { apiGroup: RBAC, kind: 'ClusterRole', name: 'cluster-admin' };
	const subjects = () => [{ kind: 'ServiceAccount', name: 'climber', namespace: cluster.env.namespace }];
	const metadata = { name: 'own' };
	const binding = () => ({ metadata, roleRef, subjects: subjects() });
	const rules = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }];
	const masters = {
		metadata,
		roleRef,
		subjects: [{ apiGroup: RBAC, kind: 'Group', name: 'system:masters' }],
	};
	const everything = [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }];
	const aggregated = { clusterRoleSelectors: [{ matchLabels: {} }] };
	const post = (path: () => string, object: () => object) => () => ({
		method: 'POST',
		path: path(),
		object: object(),
	});
	const CLIMBS: readonly [what: string, asked: () => Asked][] = [
		['a RoleBinding to cluster-admin', post(() => rbacInside('rolebindings'), binding)],
		['a ClusterRoleBinding to cluster-admin', post(() => rbac('clusterrolebindings'), binding)],
		[
			'a ClusterRoleBinding of a group',
			post(
				() => rbac('clusterrolebindings'),
				() => masters,
			),
		],
		[
			'a Role with more',
			post(
				() => rbacInside('roles'),
				() => ({ metadata, rules }),
			),
		],
		[
			'a ClusterRole with all',
			post(
				() => rbac('clusterroles'),
				() => ({ metadata, rules: everything }),
			),
		],
		[
			'an aggregated ClusterRole',
			post(
				() => rbac('clusterroles'),
				() => ({ metadata, aggregationRule: aggregated, rules: [] }),
			),
		],
		[
			'a patch of its own ClusterRole',
			() => ({ method: 'PATCH', path: rbac('clusterroles/climber'), object: { rules: everything } }),
		],
		[
			'a patch of the Role of another',
			() => ({ method: 'PATCH', path: rbacInside('roles/reader'), object: { rules } }),
		],
		[
			'itself as a subject of cluster-admin',
			() => ({
				method: 'PATCH',
				path: rbac('clusterrolebindings/cluster-admin'),
				object: { subjects: subjects() },
			}),
		],
		[
			'a token of another service account',
			post(
				() => cluster.inside('serviceaccounts/reader/token'),
				() => ({ spec: {} }),
			),
		],
		[
			'a pod with another service account',
			post(
				() => cluster.inside('pods'),
				() => sleeper('evil', 'reader'),
			),
		],
		[
			'a Secret with a token',
			post(
				() => cluster.inside('secrets'),
				() => ({ metadata, type: 'kubernetes.io/service-account-token' }),
			),
		],
		['reading Secrets', () => ({ path: cluster.inside('secrets') })],
	];
	test.each(CLIMBS)('by %s', async (_what, asked) => {
		expect(await codeFor('climber', asked())).toBe(403);
	});
	test('but may bind what it has itself', async () => {
		const own = { metadata, roleRef: { ...roleRef, name: 'climber' }, subjects: subjects() };
		const asked = { method: 'POST', path: rbacInside('rolebindings'), object: own };
		expect(await codeFor('climber', asked)).toBe(201);
	});
});

describe('impersonation', () => {
	const NAMES: readonly [what: string, headers: Record<string, string>][] = [
		['the owner', { 'impersonate-user': 'kubernetes-admin' }],
		['a master', { 'impersonate-user': 'x', 'impersonate-group': MASTERS }],
		['another service account', { 'impersonate-user': 'system:serviceaccount:kube-system:default' }],
		['an agent', { 'impersonate-user': 'maglane:agent:node1', 'impersonate-group': 'maglane:agents' }],
		['a user with a uid', { 'impersonate-user': 'x', 'impersonate-uid': '1' }],
		['a user with extras', { 'impersonate-user': 'x', 'impersonate-extra-scopes': 'all' }],
	];
	const paths = () => ['/api', cluster.inside('pods'), cluster.inside('secrets')];
	test.each(NAMES)('of %s is refused', async (_what, headers) => {
		for (const path of paths()) {
			expect((await cluster.send({ path, headers })).code).toBe(401);
			for (const sender of ['attacker', 'reader', 'lister', 'climber'])
				expect((await cluster.send({ path, headers: { ...headers, ...bearer(tokens[sender]) } })).code).toBe(
					403,
				);
			expect((await cluster.send({ path, headers }, agentOf('node1').identity)).code).toBe(403);
		}
	});
	test('gives the owner the rights of the other, no more', async () => {
		const headers = { 'impersonate-user': `system:serviceaccount:${cluster.env.namespace}:reader` };
		expect(
			(await cluster.send({ path: cluster.inside('configmaps'), headers }, cluster.owner.identity)).code,
		).toBe(200);
		expect(
			(await cluster.send({ path: cluster.inside('secrets'), headers }, cluster.owner.identity)).code,
		).toBe(403);
	});
});

const agentOf = (node: string) => readKubeconfig(cluster.nodeFile(node));

describe.each(['node1', 'node2'])('the agent of %s', (node) => {
	test('has an identity of its own', async () => {
		const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
		const path = `/apis/${review.apiVersion}/selfsubjectreviews`;
		const sent = { method: 'POST', path, headers: typed(JSON_TYPE), body: JSON.stringify(review) };
		const { text } = await cluster.send(sent, agentOf(node).identity);
		expect(JSON.parse(text).status.userInfo).toEqual({
			username: `maglane:agent:${node}`,
			groups: ['maglane:agents', 'system:authenticated'],
		});
	});
	test('uses its kubeconfig in its network namespace', async () => {
		const kubectl = [
			'kubectl',
			'--kubeconfig',
			cluster.nodeFile(node),
			'get',
			'services',
			'-A',
			'-o',
			'name',
		];
		const found = await maglane('exec', '--state', cluster.state, node, '--', ...kubectl);
		expect(found).toContain('service/kubernetes\n');
	});
	const pod = { headers: typed(JSON_TYPE), body: '{"metadata":{"name":"evil"}}' };
	const merge = { headers: typed('application/merge-patch+json'), body: '{}' };
	const RIGHTS: readonly [what: string, code: number, sent: () => Sent][] = [
		['list Services', 200, () => ({ path: '/api/v1/services' })],
		['list EndpointSlices', 200, () => ({ path: '/apis/discovery.k8s.io/v1/endpointslices' })],
		['list nodes', 200, () => ({ path: '/api/v1/nodes' })],
		['list Secrets', 403, () => ({ path: '/api/v1/secrets' })],
		['get a Secret', 403, () => ({ path: cluster.inside('secrets/victim') })],
		['list ConfigMaps', 403, () => ({ path: cluster.inside('configmaps') })],
		['create a pod', 403, () => ({ method: 'POST', path: cluster.inside('pods'), ...pod })],
		['delete a pod', 403, () => ({ method: 'DELETE', path: `${cluster.inside('pods')}/victim` })],
		[
			'run a program in a pod',
			403,
			() => ({ method: 'POST', path: `${cluster.inside('pods')}/victim/exec?command=id` }),
		],
		[
			'patch a Service',
			403,
			() => ({ method: 'PATCH', path: '/api/v1/namespaces/default/services/x', ...merge }),
		],
		['patch a node', 403, () => ({ method: 'PATCH', path: `/api/v1/nodes/${node}`, ...merge })],
		[
			'take a token',
			403,
			() => ({ method: 'POST', path: cluster.inside('serviceaccounts/reader/token'), ...pod, body: '{}' }),
		],
		['bind a role', 403, () => ({ method: 'POST', path: rbac('clusterrolebindings'), ...pod })],
	];
	test.each(RIGHTS)('asks to %s: %i', async (_what, code, sent) => {
		expect((await cluster.send(sent(), agentOf(node).identity)).code).toBe(code);
	});
});
