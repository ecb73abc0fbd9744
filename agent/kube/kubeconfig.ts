import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { dirname, isAbsolute, join } from 'node:path';
import type { Cluster, User } from '@kubernetes/client-node/dist/config_types.js';
import { newClusters, newContexts, newUsers } from '@kubernetes/client-node/dist/config_types.js';
import { ExecAuth } from '@kubernetes/client-node/dist/exec_auth.js';
import { FileAuth } from '@kubernetes/client-node/dist/file_auth.js';

/*
 * Parts of client-node are imported one by one: its KubeConfig loads every API class, undici and an
 * OpenID client, which costs 88 MB resident and 300 ms at start instead of 5 MB and 3 ms. It is
 * loaded only when a kubeconfig needs it.
 */

/** Address of the API server, and the options of requests to it. */
export interface ApiTarget {
	/** Its path has no trailing slash. */
	readonly server: URL;
	/**
	 * TLS material and headers for one request. Read again each time, because tokens and certificates
	 * rotate.
	 */
	options(): Promise<RequestOptions>;
	/**
	 * Called by the transport after a 401: the next request reads the token again instead of using a
	 * cached one.
	 */
	refused?(): void;
}

export interface ApiTargetOptions {
	/** Path of a kubeconfig; absent: the service account of the pod. */
	readonly kubeconfig?: string;
	/**
	 * Overrides the server's address, for example because a node cannot use the ClusterIP that it
	 * implements.
	 */
	readonly apiServer?: string;
	/** Address of the API server from a pod's environment, `host:port`. */
	readonly inCluster?: string;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const PLUGINS_OF_CLIENT_NODE = ['azure', 'gcp', 'oidc'];

/**
 * @throws Error with the file and the entry, when the kubeconfig is missing or has no usable
 * context.
 */
export async function loadApiTarget(options: ApiTargetOptions): Promise<ApiTarget> {
	if (options.kubeconfig === undefined) return inClusterTarget(options);
	const file = options.kubeconfig;
	const { cluster, user: named, text } = await readKubeconfig(file);
	const server = parseServer(options.apiServer ?? cluster.server, file);
	const inAddress = takeCredentials(server);
	const user = hasCredentials(named) ? named : { ...named, ...inAddress };
	if (cluster.proxyUrl || PLUGINS_OF_CLIENT_NODE.includes(user.authProvider?.name)) {
		return pluginTarget(file, text, server);
	}
	return { server, ...authenticator(cluster, user) };
}

function inClusterTarget(options: ApiTargetOptions): ApiTarget {
	const server = options.apiServer ?? (options.inCluster && `https://${options.inCluster}`);
	if (!server) {
		throw new Error(
			'Cannot find the API server: this is no pod (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig or --api-server',
		);
	}
	const user: User = {
		name: 'serviceaccount',
		authProvider: { name: 'tokenFile', config: { tokenFile: `${SERVICE_ACCOUNT}/token` } },
	};
	const cluster: Cluster = {
		name: 'in-cluster',
		server,
		skipTLSVerify: false,
		caFile: `${SERVICE_ACCOUNT}/ca.crt`,
	};
	const url = parseServer(server, '--api-server');
	takeCredentials(url);
	if (url.protocol === 'http:') return { server: url, options: async () => ({}) };
	return { server: url, ...authenticator(cluster, user) };
}

function parseServer(server: string, origin: string): URL {
	const url = URL.parse(server);
	if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
		const shown = server.replace(/\/\/[^/]*@/, '//***@');
		throw new Error(`Cannot use API server address "${shown}" from ${origin}: expected http(s)://host:port`);
	}
	url.pathname = url.pathname.replace(/\/+$/, '');
	return url;
}

/** Takes user and password out of a URL, which the log contains. @returns them, if there are any */
function takeCredentials(url: URL): Pick<User, 'username' | 'password'> {
	const [username, password] = [url.username, url.password].map(decodeURIComponent);
	url.username = '';
	url.password = '';
	return username ? { username, password: password ?? '' } : {};
}

function hasCredentials({ token, username, authProvider, exec }: User): boolean {
	return Boolean(token || username || authProvider || exec);
}

async function readKubeconfig(file: string): Promise<{ cluster: Cluster; user: User; text: string }> {
	let text: string;
	try {
		text = readFileSync(file, 'utf8');
	} catch (cause) {
		throw new Error(`Cannot read kubeconfig ${file}: check --kubeconfig`, { cause });
	}
	const raw = await parseYaml(file, text);
	const contexts = newContexts(raw['contexts']);
	const context = contexts.find((c) => c.name === raw['current-context']);
	if (!context) throw new Error(`Kubeconfig ${file} has no context "${String(raw['current-context'])}"`);
	const cluster = newClusters(raw['clusters']).find((c) => c.name === context.cluster);
	if (!cluster) throw new Error(`Kubeconfig ${file} has no cluster "${context.cluster}"`);
	const user = newUsers(raw['users']).find((u) => u.name === context.user) ?? { name: 'anonymous' };
	const root = dirname(file);
	return {
		cluster: { ...cluster, ...(cluster.caFile && { caFile: absolute(root, cluster.caFile) }) },
		user: withFiles(root, user, raw['users']),
		text,
	};
}

async function parseYaml(file: string, text: string): Promise<Record<string, unknown>> {
	try {
		// JSON is YAML too, but needs no YAML parser
		const json = /^\s*\{\s*"/.test(text);
		const raw: unknown = json ? JSON.parse(text) : (await import('yaml')).parse(text);
		if (typeof raw === 'object' && raw !== null) return raw as Record<string, unknown>;
	} catch (error) {
		throw new Error(`Cannot parse kubeconfig ${file}${placeOf(error)}`);
	}
	throw new Error(`Cannot parse kubeconfig ${file}: it holds no mapping`);
}

/** Line and column of a YAML error. The parsers' own messages quote tokens of the file. */
function placeOf(error: unknown): string {
	const [place] = (error as { linePos?: readonly { line: number; col: number }[] }).linePos ?? [];
	return place ? `: line ${place.line}, column ${place.col}` : '';
}

/**
 * Handles `tokenFile` of kubectl, which client-node supports only as its own in-cluster provider.
 */
function withFiles(root: string, user: User, rawUsers: unknown): User {
	const raw = Array.isArray(rawUsers) ? rawUsers.find((u) => u?.name === user.name)?.user : undefined;
	const tokenFile: unknown = raw?.tokenFile;
	return {
		...user,
		...(user.certFile && { certFile: absolute(root, user.certFile) }),
		...(user.keyFile && { keyFile: absolute(root, user.keyFile) }),
		...(typeof tokenFile === 'string' && {
			authProvider: { name: 'tokenFile', config: { tokenFile: absolute(root, tokenFile) } },
		}),
	};
}

function absolute(root: string, file: string): string {
	return isAbsolute(file) ? file : join(root, file);
}

function fileOrData(file: string | undefined, data: string | undefined): Buffer | undefined {
	if (file) return readFileSync(file);
	return data ? Buffer.from(data, 'base64') : undefined;
}

function authenticator(cluster: Cluster, user: User): Pick<ApiTarget, 'options' | 'refused'> {
	const fresh = () => [new ExecAuth(), new FileAuth()];
	// client-node's plugins cache file tokens for a minute of the wall clock, which may be set back
	let plugins = fresh();
	const options = async () => {
		const headers: Record<string, string> = {};
		const request: RequestOptions = { headers };
		const ca = fileOrData(cluster.caFile, cluster.caData);
		const cert = fileOrData(user.certFile, user.certData);
		const key = fileOrData(user.keyFile, user.keyData);
		if (ca) request.ca = ca;
		if (cert) request.cert = cert;
		if (key) request.key = key;
		if (cluster.skipTLSVerify) request.rejectUnauthorized = false;
		if (cluster.tlsServerName) request.servername = cluster.tlsServerName;
		if (user.impersonateUser) headers['Impersonate-User'] = user.impersonateUser;
		const plugin = plugins.find((one) => one.isAuthProvider(user));
		await plugin?.applyAuthentication(user, request).catch(withoutOutput);
		if (user.token) headers['Authorization'] = `Bearer ${user.token}`;
		else if (user.username) {
			headers['Authorization'] =
				`Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`;
		}
		// a token file may end in a newline, which is invalid in a header
		if (headers['Authorization']) headers['Authorization'] = headers['Authorization'].trim();
		return request;
	};
	return {
		options,
		refused() {
			plugins = fresh();
		},
	};
}

/** A parser quotes the output of a credential plugin, which holds the token. @throws Error */
function withoutOutput(error: unknown): never {
	if ((error as Error).name === 'SyntaxError')
		throw new Error('The credential plugin printed no ExecCredential');
	throw error;
}

async function pluginTarget(file: string, text: string, server: URL): Promise<ApiTarget> {
	const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
	const config = new KubeConfig();
	config.loadFromString(text);
	config.makePathsAbsolute(dirname(file));
	return {
		server,
		options: async () => {
			const options: RequestOptions = {};
			await config.applyToHTTPSOptions(options).catch(withoutOutput);
			return options;
		},
	};
}
