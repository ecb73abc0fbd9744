/** The server serves exactly the path that it authorized, in any spelling. */
import { Agent, request } from 'node:https';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Api, createApi } from '../../standalone/api/index.ts';
import { credentials, ownerTls } from './api-credentials.ts';

const SECRET = 'c2VjcmV0LW1hcmtlcg==';
const RBAC = 'rbac.authorization.k8s.io';
const agent = new Agent({ keepAlive: true });

let api: Api;
let port: number;
let token: string;
beforeAll(async () => {
	api = createApi({ credentials });
	({ port } = await api.listen({ port: 0 }));
	const metadata = { name: 'x', namespace: 'default' };
	api.objects.create('secrets', { metadata, data: { value: SECRET } });
	api.objects.create('configmaps', { metadata, data: { value: 'open' } });
	const account = api.objects.create('serviceaccounts', { metadata });
	({ token } = await api.tokens!.issue({ account, seconds: 600 }));
	const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['*'] }];
	api.objects.create('roles', { metadata, rules });
	const subjects = [{ kind: 'ServiceAccount', name: 'x', namespace: 'default' }];
	const roleRef = { apiGroup: RBAC, kind: 'Role', name: 'x' };
	api.objects.create('rolebindings', { metadata, roleRef, subjects });
});
afterAll(async () => {
	agent.destroy();
	await api.close();
});

/** Sends the path unchanged. @returns the status and the text, for a watch only the first chunk */
function get(path: string, tls: object = {}): Promise<{ code: number; text: string }> {
	const headers = 'cert' in tls ? {} : { authorization: `Bearer ${token}` };
	const to = {
		host: '127.0.0.1',
		port,
		path,
		headers,
		ca: credentials.authority,
		servername: 'localhost',
		...tls,
	};
	return new Promise((resolve, reject) => {
		const sent = request({ ...to, agent: 'cert' in tls ? false : agent }, (response) => {
			let text = '';
			const end = () => resolve({ code: response.statusCode!, text });
			response.on('data', (chunk) => {
				text += chunk;
				if (path.includes('watch')) response.destroy();
			});
			response.on('close', end);
		});
		sent.setTimeout(300, () => sent.destroy());
		sent.on('error', (error: NodeJS.ErrnoException) =>
			error.code === 'ECONNRESET' ? resolve({ code: 0, text: '' }) : reject(error),
		);
		sent.end();
	});
}

test('the reader reads its ConfigMap, the owner the Secret', async () => {
	expect(await get('/api/v1/namespaces/default/configmaps/x')).toMatchObject({ code: 200 });
	expect((await get('/api/v1/namespaces/default/secrets/x', ownerTls)).text).toContain(SECRET);
	expect(await get('/api/v1/namespaces/default/secrets/x')).toMatchObject({ code: 403 });
});

const PARTS = [
	...['api', 'v1', 'apis', 'namespaces', 'default', 'configmaps', 'secrets', 'x', 'status', 'watch', 'proxy'],
	...[
		'.',
		'..',
		'',
		'%2e%2e',
		'..%2f',
		'%2E',
		'secrets%2fx',
		'configmaps%2f..%2fsecrets',
		'SECRETS',
		'secrets%00',
	],
	...['configmaps;secrets', 'secrets%20', '%73ecrets', '\\..\\secrets', 'x%3Fwatch', 'configmaps%23'],
];
const QUERIES = [
	'',
	'?watch=1',
	'?watch=True&resourceVersion=0',
	'?fieldSelector=metadata.name%3Dx',
	'?namespace=default',
];
const START = [
	'/api/v1/namespaces/default',
	'/api/v1',
	'/',
	'//api/v1',
	'/apis//v1/namespaces/default',
	'/api/v1/namespaces',
];

test('a user who may read ConfigMaps gets no Secret by any path', async () => {
	let found = 0;
	const parts = fc.array(fc.constantFrom(...PARTS), { minLength: 1, maxLength: 5 });
	const paths = fc.tuple(fc.constantFrom(...START), parts, fc.constantFrom(...QUERIES));
	await fc.assert(
		fc.asyncProperty(paths, async ([start, rest, query]) => {
			const { code, text } = await get(`${start}/${rest.join('/')}${query}`);
			if (code === 200) found++;
			expect(text).not.toContain(SECRET);
		}),
		{
			numRuns: 600,
			examples: [
				[['/api/v1/namespaces/default', ['configmaps', '..', 'secrets', 'x'], '']],
				[['/api/v1/namespaces/default', ['configmaps', 'x', '..', '..', 'secrets'], '']],
				[['/api/v1', ['secrets'], '?watch=1']],
				[['/api/v1', ['watch', 'secrets'], '']],
				[['//api/v1/namespaces/default', ['secrets', 'x'], '']],
				[['/api/v1/namespaces/default', ['secrets', 'x', ''], '']],
				[['/api/v1/namespaces/default', ['%73ecrets', 'x'], '']],
				[['/api/v1/namespaces/default', ['configmaps', 'x'], '']],
			],
		},
	);
	expect(found).toBeGreaterThan(0);
}, 60_000);
