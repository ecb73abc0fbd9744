import { request } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { KINDS, type Kind } from '../../standalone/api/kinds.ts';
import { createAuthority, Issuer } from '../../standalone/auth/certificates.ts';
import { MASTERS } from '../../standalone/auth/user.ts';
import { credentials, identity } from './api-credentials.ts';

let api: Api;
let port: number;
let token: string;
beforeAll(async () => {
	api = createApi({ credentials, unsafe: true });
	({ port } = await api.listen({ port: 0 }));
	token = await tokenOf('default');
});
afterAll(() => api.close());

async function tokenOf(name: string, seconds?: number): Promise<string> {
	const account = api.objects.get('serviceaccounts', 'default', name)!;
	const issued = await api.tokens!.issue({ account, ...(seconds === undefined ? {} : { seconds }) });
	return issued.token;
}

interface Sent {
	method?: string;
	headers?: Record<string, string>;
	body?: string;
	tls?: object;
}

/**
 * Sends one request with the given credentials only.
 * @returns status, headers and text of the response
 */
function send(path: string, { method = 'GET', headers = {}, body, tls = {} }: Sent = {}) {
	const framed = body === undefined ? headers : { ...headers, 'content-length': String(body.length) };
	const to = { host: '127.0.0.1', port, path, method, headers: framed, agent: false as const };
	return new Promise<{ code: number; headers: object; text: string }>((resolve, reject) => {
		const sent = request(
			{ ...to, ca: credentials.authority, servername: 'localhost', ...tls },
			(response) => {
				let text = '';
				response.on('data', (chunk) => (text += chunk));
				response.on('end', () => resolve({ code: response.statusCode!, headers: response.headers, text }));
			},
		);
		sent.on('error', reject).end(body);
	});
}

const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
const POD = JSON.stringify({
	apiVersion: 'v1',
	kind: 'Pod',
	metadata: { name: 'x' },
	spec: { containers: [{ name: 'c', image: 'i', command: ['true'] }] },
});
const PODS = '/api/v1/namespaces/default/pods';
const JSON_TYPE = { 'content-type': 'application/json' };

function pathOf({ group, version, resource, namespaced }: Kind): string {
	const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
	return `${root}${namespaced ? '/namespaces/default' : ''}/${resource}`;
}

const REQUESTS: [method: string, path: string, type?: string][] = KINDS.flatMap((kind) => {
	const path = pathOf(kind);
	return [
		['GET', path],
		['HEAD', path],
		['GET', `${path}?watch=true`],
		['POST', path, 'application/json'],
		['DELETE', path],
		['GET', `${path}/x`],
		['PUT', `${path}/x`, 'application/json'],
		['PATCH', `${path}/x`, 'application/merge-patch+json'],
		['PUT', `${path}/x/status`, 'application/json'],
		['DELETE', `${path}/x`],
	] as [string, string, string?][];
});
const OTHERS: typeof REQUESTS = [
	['GET', `${PODS}/x/log`],
	['GET', `${PODS}/x/exec?command=true&stdout=true`],
	['POST', `${PODS}/x/binding`, 'application/json'],
	['POST', '/api/v1/namespaces/default/serviceaccounts/default/token', 'application/json'],
	['POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', 'application/json'],
	['GET', '/api/v1//namespaces/default//secrets'],
	['GET', '/api/v1/namespaces/default/%73ecrets'],
	['GET', '/apis/nothing.example/v1/things'],
];
const PATHS = [
	'/',
	'/api',
	'/apis',
	'/api/v1',
	'/apis/apps/v1',
	'/healthz',
	'/openapi/v2',
	'/openapi/v3',
	'/x',
];

describe('a sender without valid credentials gets 401 in the form of the API server', () => {
	test.each([...REQUESTS, ...OTHERS, ...PATHS.map((path): [string, string] => ['GET', path])])(
		'%s %s',
		async (method, path, type) => {
			const headers = type ? { 'content-type': type } : {};
			const answer = await send(path, { method, headers, ...(type ? { body: POD } : {}) });
			expect(answer.code).toBe(401);
			if (method !== 'HEAD') expect(JSON.parse(answer.text)).toMatchObject({ kind: 'Status', code: 401 });
		},
	);

	test('whatever it shows instead', async () => {
		const foreign = await Issuer.of(await createAuthority('other'));
		const forged = await foreign.client({ commonName: 'kubernetes-admin', organizations: [MASTERS] });
		const self = await createAuthority('kubernetes-admin');
		api.objects.create('serviceaccounts', { metadata: { name: 'gone', namespace: 'default' } });
		const gone = await tokenOf('gone');
		api.objects.delete('serviceaccounts', 'default', 'gone');
		const senders: Sent[] = [
			{ tls: forged },
			{ tls: self },
			{ headers: bearer('') },
			{ headers: bearer('x.y.z') },
			{ headers: bearer(`${token.slice(0, -4)}AAAA`) },
			{ headers: bearer(await tokenOf('default', -10)) },
			{ headers: bearer(gone) },
			{ headers: { authorization: `Basic ${Buffer.from('admin:admin').toString('base64')}` } },
			{ headers: { 'x-remote-user': 'kubernetes-admin', 'x-remote-group': MASTERS } },
			{ headers: { 'impersonate-user': 'kubernetes-admin', 'impersonate-group': MASTERS } },
			{ headers: { 'x-maglane-unsafe': 'yes' } },
		];
		for (const sender of senders) expect((await send(PODS, sender)).code).toBe(401);
	});
});

test.each(['/livez', '/readyz', '/version'])('%s is open to all', async (path) => {
	expect((await send(path)).code).toBe(200);
});

describe('a token without a binding gets 403', () => {
	test.each([...REQUESTS, ...OTHERS])('%s %s', async (method, path, type) => {
		const headers = { ...bearer(token), ...(type ? { 'content-type': type } : {}) };
		const answer = await send(path, { method, headers, ...(type ? { body: POD } : {}) });
		expect(answer.code).toBe(403);
	});

	test('but may discover, and ask what it may', async () => {
		expect((await send('/apis', { headers: bearer(token) })).code).toBe(200);
		const body = JSON.stringify({ spec: { resourceAttributes: { verb: 'list', resource: 'pods' } } });
		const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
		const headers = { ...bearer(token), ...JSON_TYPE };
		const answer = await send(path, { method: 'POST', headers, body });
		expect(JSON.parse(answer.text).status).toEqual({ allowed: false, reason: '' });
	});
});

describe('what a page can make a browser send is refused, with the owner’s certificate and without', () => {
	const page: [string, Sent, number][] = [
		['text', { method: 'POST', body: POD, headers: { 'content-type': 'text/plain' } }, 415],
		[
			'text that looks like JSON',
			{ method: 'POST', body: POD, headers: { 'content-type': 'text/plain;application/json' } },
			415,
		],
		[
			'a form',
			{ method: 'POST', body: POD, headers: { 'content-type': 'application/x-www-form-urlencoded' } },
			415,
		],
		[
			'a multipart form',
			{ method: 'POST', body: POD, headers: { 'content-type': 'multipart/form-data; boundary=x' } },
			415,
		],
		['no type', { method: 'POST', body: POD }, 415],
		['no body', { method: 'POST' }, 415],
		['an origin', { headers: { origin: 'https://evil.example' } }, 403],
		['an opaque origin', { headers: { origin: 'null' } }, 403],
		[
			'an origin, JSON',
			{ method: 'POST', body: POD, headers: { ...JSON_TYPE, origin: 'https://evil.example' } },
			403,
		],
		[
			'a preflight',
			{
				method: 'OPTIONS',
				headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
			},
			403,
		],
		['a server of this machine at another port', { headers: { origin: 'https://127.0.0.1:8000' } }, 403],
		['a server of this machine without TLS', { headers: { origin: 'http://localhost:8000' } }, 403],
		['another site', { headers: { 'sec-fetch-site': 'cross-site' } }, 403],
		['a rebound name', { headers: { host: 'evil.example' } }, 403],
		['a rebound name and port', { headers: { host: `evil.example:6443` } }, 403],
		['a name that begins like ours', { headers: { host: 'localhost.evil.example' } }, 403],
	];
	test.each(page)('%s', async (_name, sent, code) => {
		const owner = await send(PODS, { ...sent, tls: identity });
		const stranger = await send(PODS, sent);
		expect([owner.code, stranger.code]).toEqual([code, 403]);
		for (const { headers } of [owner, stranger])
			expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
		expect(api.objects.list('pods')).toEqual([]);
	});
});

test('the server has one origin: its scheme, the host that was asked, its port', async () => {
	const codes = async (origin: string, host = `127.0.0.1:${port}`) =>
		(await send('/version', { headers: { origin, host } })).code;
	expect(await codes(`https://127.0.0.1:${port}`)).toBe(200);
	expect(await codes('https://localhost', 'localhost:443')).toBe(200);
	for (const origin of [
		`http://127.0.0.1:${port}`,
		`https://127.0.0.1:${port + 1}`,
		`https://localhost:${port}`,
	])
		expect(await codes(origin)).toBe(403);
});

describe('RBAC', () => {
	const RBAC = '/apis/rbac.authorization.k8s.io/v1';
	const as = (value: string, method: string, path: string, object: object) =>
		send(path, { method, headers: { ...bearer(value), ...JSON_TYPE }, body: JSON.stringify(object) });

	test('grants what a binding says, and nothing that its holder could add', async () => {
		api.objects.create('serviceaccounts', { metadata: { name: 'reader', namespace: 'default' } });
		const rules = [
			{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] },
			{ apiGroups: ['rbac.authorization.k8s.io'], resources: ['*'], verbs: ['create', 'get'] },
		];
		api.objects.create('roles', { metadata: { name: 'reader', namespace: 'default' }, rules });
		const subjects = [{ kind: 'ServiceAccount', name: 'reader', namespace: 'default' }];
		const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' };
		api.objects.create('rolebindings', {
			metadata: { name: 'reader', namespace: 'default' },
			subjects,
			roleRef,
		});
		const reader = await tokenOf('reader');
		const get = async (path: string) => (await send(path, { headers: bearer(reader) })).code;
		expect(await get('/api/v1/namespaces/default/configmaps')).toBe(200);
		expect(await get('/api/v1/namespaces/default/configmaps?watch=true')).toBe(403);
		expect(await get('/api/v1/namespaces/kube-system/configmaps')).toBe(403);
		expect(await get('/api/v1/configmaps')).toBe(403);
		expect(await get('/api/v1/namespaces/default/secrets')).toBe(403);
		const path = `${RBAC}/namespaces/default`;
		const admin = { ...roleRef, kind: 'ClusterRole', name: 'cluster-admin' };
		const own = { metadata: { name: 'own', namespace: 'default' } };
		expect(
			(await as(reader, 'POST', `${path}/rolebindings`, { ...own, subjects, roleRef: admin })).code,
		).toBe(403);
		const more = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }];
		expect((await as(reader, 'POST', `${path}/roles`, { ...own, rules: more })).code).toBe(403);
		expect((await as(reader, 'POST', `${path}/roles`, { ...own, rules: [rules[0]] })).code).toBe(201);
	});

	test('impersonation needs the verb impersonate; the owner has it', async () => {
		const headers = { 'impersonate-user': 'system:serviceaccount:default:default' };
		expect((await send(PODS, { headers, tls: identity })).code).toBe(403);
		expect((await send('/apis', { headers, tls: identity })).code).toBe(200);
		expect((await send('/apis', { headers: { ...headers, ...bearer(token) } })).code).toBe(403);
	});
});
