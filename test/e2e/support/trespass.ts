/**
 * Sends unauthorized requests to an API server: each verb of each resource, by curl, from several
 * places.
 */
import { execFile } from 'node:child_process';
import { expect } from 'vitest';
import type { Environment, Json } from './environment.ts';
import type { Manifest } from './objects.ts';

export const JSON_TYPE = 'application/json';
export const POD_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Paths that the API server serves without credentials. */
export const OPEN_PATHS = ['/livez', '/readyz', '/version'];
/** A user id that owns no file. */
const STRANGER = 65_534;
const PARALLEL = 20;

export interface Sent {
	readonly method?: string;
	readonly path: string;
	readonly headers?: Readonly<Record<string, string>>;
	readonly body?: string;
}

/** The credentials that curl sends, and whether it verifies the server. */
export interface Shown {
	readonly token?: string | undefined;
	/** Path of a certificate and its key, without extension. */
	readonly certificate?: string;
	/**
	 * Path of the authority that must have signed the server certificate. Without it, curl trusts any
	 * server.
	 */
	readonly authority?: string;
}

/** A resource as discovery lists it. */
export interface Resource {
	readonly apiVersion: string;
	readonly kind: string;
	readonly name: string;
	/** Path of its objects in the tests' namespace, or of its cluster-scoped objects. */
	readonly path: string;
	/** Path of its objects in all namespaces. */
	readonly everywhere: string;
	readonly subresources: readonly string[];
	/** Whether the API server stores its objects. Reviews exist only as responses. */
	readonly stored: boolean;
}

export const typed = (type: string) => ({ 'content-type': type });
export const bearer = (token: string | undefined) => ({ authorization: `Bearer ${token}` });
export const gets = (paths: readonly string[]): Sent[] => paths.map((path) => ({ path }));

/** A pod that runs a program of this machine. */
export function sleeper(
	name: string,
	serviceAccountName = 'default',
	command = ['sleep', '86400'],
): Manifest {
	const containers = [{ name: 'main', image: 'busybox', command }];
	const spec = { terminationGracePeriodSeconds: 0, serviceAccountName, containers };
	return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec };
}

/**
 * @returns every resource that the owner discovers, including the reviews, which only have the verb
 * create
 */
export async function discover(env: Environment): Promise<Resource[]> {
	const raw = async (path: string): Promise<Json> => JSON.parse(await env.kubectl('get', '--raw', path));
	const { groups } = await raw('/apis');
	const versions: string[] = groups.flatMap((group: Json) =>
		group.versions.map((one: Json) => `/apis/${one.groupVersion}`),
	);
	const found: Resource[] = [];
	for (const root of ['/api/v1', ...versions])
		found.push(...resourcesOf(env.namespace, root, await raw(root)));
	return found;
}

function resourcesOf(namespace: string, root: string, list: Json): Resource[] {
	const names: string[] = list.resources.map(({ name }: Json) => name);
	return list.resources
		.filter(({ name }: Json) => !name.includes('/'))
		.map(({ name, kind, namespaced, verbs }: Json) => ({
			apiVersion: list.groupVersion,
			kind,
			name,
			path: `${root}${namespaced ? `/namespaces/${namespace}` : ''}/${name}`,
			everywhere: `${root}/${name}`,
			stored: verbs.includes('list'),
			subresources: names
				.filter((one) => one.startsWith(`${name}/`))
				.map((one) => one.slice(name.length + 1)),
		}));
}

/** A complete object of a resource. Its pods would create the file. */
export function evil({ apiVersion, kind }: Pick<Resource, 'apiVersion' | 'kind'>, file: string): string {
	const labels = { app: 'evil' };
	const pod = sleeper('evil', 'default', ['sh', '-c', `touch ${file}; sleep 86400`])['spec'];
	const workload = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pod } };
	const spec = kind === 'Pod' ? pod : apiVersion === 'apps/v1' ? workload : {};
	return JSON.stringify({ apiVersion, kind, metadata: { name: 'evil', labels }, spec });
}

const LABEL = '{"metadata":{"labels":{"evil":"yes"}}}';
const patchOf = ({ path }: Resource, type: string, body = LABEL, query = ''): Sent => ({
	method: 'PATCH',
	path: `${path}/victim${query}`,
	headers: typed(`application/${type}`),
	body,
});

/** Every verb on a resource. A program started by one of the requests would create `file`. */
export const VERBS: readonly [verb: string, sent: (of: Resource, file: string) => Sent[]][] = [
	['list', ({ path, everywhere }) => gets([path, everywhere])],
	['get', ({ path }) => gets([`${path}/victim`, `${path}/none`])],
	['watch', ({ path, everywhere }) => gets([`${path}?watch=true`, `${everywhere}?watch=true`])],
	[
		'create',
		(of, file) => [{ method: 'POST', path: of.path, headers: typed(JSON_TYPE), body: evil(of, file) }],
	],
	[
		'update',
		(of, file) => [
			{ method: 'PUT', path: `${of.path}/victim`, headers: typed(JSON_TYPE), body: evil(of, file) },
		],
	],
	['merge patch', (of) => [patchOf(of, 'merge-patch+json')]],
	['strategic merge patch', (of) => [patchOf(of, 'strategic-merge-patch+json')]],
	['JSON patch', (of) => [patchOf(of, 'json-patch+json', '[{"op":"remove","path":"/spec"}]')]],
	['apply', (of, file) => [patchOf(of, 'apply-patch+yaml', evil(of, file), '?fieldManager=evil')]],
	['delete', ({ path }) => [{ method: 'DELETE', path: `${path}/victim` }]],
	['deletecollection', ({ path }) => [{ method: 'DELETE', path }]],
	['every subresource', (of, file) => of.subresources.flatMap((sub) => subresourceRequests(of, sub, file))],
];

function subresourceRequests(of: Resource, subresource: string, file: string): Sent[] {
	const path = `${of.path}/victim/${subresource}`;
	const command = `${path}?command=touch&command=${encodeURIComponent(file)}&stdout=true&ports=80`;
	const json = { headers: typed(JSON_TYPE), body: evil(of, file) };
	return [
		{ path: command },
		{ path: command, headers: WEBSOCKET },
		{ method: 'POST', path: command, ...json },
		{ method: 'PUT', path, ...json },
		{ method: 'PATCH', path, headers: typed('application/merge-patch+json'), body: '{}' },
		{ method: 'DELETE', path },
	];
}

export const WEBSOCKET = {
	connection: 'Upgrade',
	upgrade: 'websocket',
	'sec-websocket-version': '13',
	'sec-websocket-key': Buffer.from('0123456789abcdef').toString('base64'),
	'sec-websocket-protocol': 'v5.channel.k8s.io',
};

/** The origin of requests, and the URLs of the server from there. */
export interface Place {
	/** Runs sh with input. @returns stdout */
	run(args: readonly string[], input: string): Promise<string>;
	readonly urls: readonly string[];
}

/** A curl configuration that sends all requests and prints a line for each: index, status. */
function curlOf(url: string, requests: readonly Sent[], shown: Shown): string {
	const quoted = (text: string) => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
	const { token, certificate, authority } = shown;
	const credentials = [
		...(token === undefined ? [] : [`header = ${quoted(`Authorization: Bearer ${token}`)}`]),
		...(certificate === undefined
			? []
			: [`cert = ${quoted(`${certificate}.crt`)}`, `key = ${quoted(`${certificate}.key`)}`]),
		authority === undefined ? 'insecure' : `cacert = ${quoted(authority)}`,
	];
	return requests
		.map(({ method = 'GET', path, headers = {}, body }, index) =>
			[
				`url = ${quoted(url + path)}`,
				`request = ${method}`,
				...Object.entries(headers).map(([name, value]) => `header = ${quoted(`${name}: ${value}`)}`),
				...credentials,
				...(body === undefined ? [] : [`data-binary = ${quoted(body)}`]),
				...['silent', 'globoff', 'path-as-is', 'http1.1', 'max-time = 10', 'output = /dev/null'],
				`write-out = "${index} %{http_code}\\n"`,
			].join('\n'),
		)
		.join('\nnext\n');
}

const CURL = ['-c', `curl --disable --parallel --parallel-max ${PARALLEL} --config -; true`];

/** Sends all requests from a place. @returns a line for each request with an unexpected status */
export async function unexpected(
	place: Place,
	requests: readonly Sent[],
	expected: readonly number[],
	shown: Shown = {},
): Promise<string[]> {
	expect(requests.length).toBeGreaterThan(0);
	const wrong: string[] = [];
	for (const url of place.urls) {
		const lines = (await place.run(CURL, curlOf(url, requests, shown))).trim().split('\n');
		const codes = new Map(lines.map((line) => line.split(' ').map(Number) as [number, number]));
		requests.forEach(({ method = 'GET', path }, index) => {
			const code = codes.get(index);
			if (code === undefined || !expected.includes(code)) wrong.push(`${method} ${url}${path}: ${code}`);
		});
	}
	return wrong;
}

/** Runs sh as another user of the machine. @returns stdout */
export const asStranger = (args: readonly string[], input: string) => asUser(STRANGER, args, input);

export function asUser(id: number, args: readonly string[], input: string): Promise<string> {
	return new Promise((resolve, reject) => {
		const options = { uid: id, gid: id, cwd: '/', maxBuffer: 64 << 20 };
		const child = execFile('sh', args, options, (error, out) => (error ? reject(error) : resolve(out)));
		child.stdin?.end(input);
	});
}
