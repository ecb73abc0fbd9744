/** Bodies of any shape get a 4xx that names the field: stored objects, subresources and reviews. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { call } from './api-client.ts';
import { credentials } from './api-credentials.ts';

let api: Api;
let port: number;
beforeAll(async () => {
	api = createApi({ credentials });
	port = (await api.listen({ port: 0 })).port!;
	await post('/api/v1/namespaces/default/pods', pod('web'));
	await post('/apis/apps/v1/namespaces/default/deployments', deployment('web'));
	await post('/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'web' } });
});
afterAll(() => api.close());

const post = (path: string, body: unknown) => call(port, path, { method: 'POST', body });
const container = { name: 'c', image: 'i' };
const pod = (name: string) => ({ metadata: { name }, spec: { containers: [container] } });
const deployment = (name: string) => ({
	metadata: { name },
	spec: {
		selector: { matchLabels: { app: name } },
		template: { metadata: { labels: { app: name } }, spec: { containers: [container] } },
	},
});

const CORE = '/api/v1/namespaces/default';
const APPS = '/apis/apps/v1/namespaces/default';
const REVIEWS = [
	'authorization.k8s.io/v1/selfsubjectaccessreviews',
	'authorization.k8s.io/v1/subjectaccessreviews',
	'authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews',
	'authorization.k8s.io/v1/selfsubjectrulesreviews',
	'authentication.k8s.io/v1/selfsubjectreviews',
	'authentication.k8s.io/v1/tokenreviews',
].map((path) => `/apis/${path}`);
const SUBRESOURCES = [
	['POST', `${CORE}/pods/web/binding`],
	['POST', `${CORE}/serviceaccounts/web/token`],
	['PUT', `${APPS}/deployments/web/scale`],
	['DELETE', `${CORE}/pods/web`],
	['DELETE', `${CORE}/configmaps`],
	['POST', `${CORE}/configmaps`],
] as const;

describe('a body that is no object', () => {
	test.each([...SUBRESOURCES, ...REVIEWS.map((path) => ['POST', path] as const)])(
		'%s %s',
		async (method, path) => {
			for (const body of ['null', '5', '"x"', '[]', 'true']) {
				const answer = await call(port, path, { method, body });
				expect([body, answer.code, answer.body.reason]).toEqual([body, 400, 'BadRequest']);
			}
		},
	);
});

describe('a field of the wrong type', () => {
	const access = { user: 'x', nonResourceAttributes: { path: '/', verb: 'get' } };
	test.each([
		['POST', REVIEWS[1]!, { spec: { ...access, groups: 'xsystem:mastersx' } }, 'spec.groups'],
		['POST', REVIEWS[1]!, { spec: { ...access, groups: 5 } }, 'spec.groups'],
		['POST', REVIEWS[1]!, { spec: { ...access, user: {} } }, 'spec.user'],
		['POST', REVIEWS[1]!, { spec: { ...access, extra: { a: 'b' } } }, 'spec.extra.a'],
		['POST', REVIEWS[0]!, { spec: { resourceAttributes: { verb: 1 } } }, 'spec.resourceAttributes.verb'],
		['POST', REVIEWS[3]!, { spec: { namespace: ['default'] } }, 'spec.namespace'],
		['POST', REVIEWS[5]!, { spec: { token: 'x', audiences: 'ab' } }, 'spec.audiences'],
		['POST', `${CORE}/serviceaccounts/web/token`, { spec: { audiences: 'ab' } }, 'spec.audiences'],
		[
			'POST',
			`${CORE}/serviceaccounts/web/token`,
			{ spec: { expirationSeconds: '1h' } },
			'spec.expirationSeconds',
		],
		['POST', `${CORE}/pods/web/binding`, { target: 'node1' }, 'target'],
		['PUT', `${APPS}/deployments/web/scale`, { spec: { replicas: '3' } }, 'spec.replicas'],
		['DELETE', `${CORE}/pods/web`, { gracePeriodSeconds: 'now' }, 'gracePeriodSeconds'],
		['DELETE', `${CORE}/pods/web`, { preconditions: { uid: 5 } }, 'preconditions.uid'],
		['DELETE', `${CORE}/pods/web`, { dryRun: 'All' }, 'dryRun'],
	])('%s %s %j', async (method, path, body, field) => {
		const answer = await call(port, path, { method, body });
		expect([answer.code, answer.body.reason]).toEqual([400, 'BadRequest']);
		expect(answer.body.message).toContain(field);
	});
});

describe('null in a list counts as an empty element, as in Go', () => {
	const withContainer = (more: object) => ({
		metadata: { name: 'nulls' },
		spec: { containers: [{ ...container, ...more }] },
	});
	const bindingOf = (more: object) => ({
		metadata: { name: 'nulls' },
		roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'x' },
		...more,
	});
	test.each([
		['services', CORE, { metadata: { name: 'nulls' }, spec: { ports: [null] } }, 'spec.ports[0]'],
		['pods', CORE, { metadata: { name: 'nulls' }, spec: { containers: [null] } }, 'spec.containers[0]'],
		['pods', CORE, withContainer({ ports: [null] }), 'spec.containers[0].ports[0]'],
		['pods', CORE, withContainer({ env: [null] }), 'spec.containers[0].env[0]'],
		[
			'endpoints',
			CORE,
			{ metadata: { name: 'nulls' }, subsets: [{ addresses: [null], ports: [null] }] },
			'subsets[0]',
		],
		[
			'endpointslices',
			'/apis/discovery.k8s.io/v1/namespaces/default',
			{ metadata: { name: 'nulls' }, addressType: 'IPv4', endpoints: [null], ports: [null] },
			'endpoints[0]',
		],
		[
			'roles',
			'/apis/rbac.authorization.k8s.io/v1/namespaces/default',
			{ metadata: { name: 'nulls' }, rules: [null] },
			'rules[0]',
		],
		[
			'rolebindings',
			'/apis/rbac.authorization.k8s.io/v1/namespaces/default',
			bindingOf({ subjects: [null] }),
			'subjects[0]',
		],
		[
			'deployments',
			APPS,
			{
				...deployment('nulls'),
				spec: { ...deployment('nulls').spec, selector: { matchExpressions: [null] } },
			},
			'spec.selector.matchExpressions[0]',
		],
		[
			'configmaps',
			CORE,
			{ metadata: { name: 'nulls', ownerReferences: [null] } },
			'metadata.ownerReferences[0]',
		],
	])('%s %s %j', async (resource, path, body, field) => {
		const answer = await post(`${path}/${resource}`, body);
		expect([answer.code, answer.body.reason]).toEqual([422, 'Invalid']);
		expect(answer.body.message).toContain(field);
	});
});
