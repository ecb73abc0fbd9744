/** Requests of the commands to the API server, with the owner's credentials. */
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { V1APIResourceList } from '@kubernetes/client-node';
import type { Json, KubeObject } from '../port.ts';
import { type Access, readKubeconfig } from './kubeconfig.ts';

/** A response with an error status. */
export class StatusError extends Error {
	readonly status: number;

	constructor(status: number, message: string) {
		super(message);
		this.status = status;
	}
}

/** The path of a kind's collection, and the kind's name. */
export interface Collection {
	readonly path: string;
	/** Like in kubectl: `service`, `deployment.apps`. */
	readonly called: string;
}

export class ApiClient {
	readonly #kubeconfig: string;
	#access: Access | undefined;

	/** @param kubeconfig file of writeKubeconfig(), read on the first request. */
	constructor(kubeconfig: string) {
		this.#kubeconfig = kubeconfig;
	}

	async list<T = KubeObject>(path: string): Promise<T[]> {
		return (await this.#send<{ items: T[] }>('GET', path)).items;
	}

	post<T = KubeObject>(path: string, object: KubeObject): Promise<T> {
		return this.#send('POST', path, object, 'application/json');
	}

	patch<T = KubeObject>(path: string, patch: object): Promise<T> {
		return this.#send('PATCH', path, patch, 'application/merge-patch+json');
	}

	get<T = KubeObject>(path: string): Promise<T> {
		return this.#send('GET', path);
	}

	/** @returns undefined if the object does not exist. */
	async find<T = KubeObject>(path: string): Promise<T | undefined> {
		try {
			return await this.get<T>(path);
		} catch (error) {
			if (error instanceof StatusError && error.status === 404) return undefined;
			throw error;
		}
	}

	/** A response as a stream. @throws StatusError. */
	async stream(path: string): Promise<IncomingMessage> {
		const response = await this.#request('GET', path);
		if (response.statusCode === 200) return response;
		throw await failure('GET', path, response);
	}

	/**
	 * The collection in which objects of a kind are created; undefined if the server does not know
	 * the kind.
	 */
	async collection(
		{ apiVersion = 'v1', kind, metadata }: KubeObject,
		namespace = 'default',
	): Promise<Collection | undefined> {
		const [group] = apiVersion.includes('/') ? apiVersion.split('/') : [];
		const base = group ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
		const known = await this.find<Json<V1APIResourceList>>(base);
		const resources = known?.resources ?? [];
		const resource = resources.find((one) => one.kind === kind && !one.name.includes('/'));
		if (!resource) return undefined;
		const inNamespace = resource.namespaced ? `/namespaces/${metadata.namespace ?? namespace}` : '';
		const called = `${String(kind).toLowerCase()}${group ? `.${group}` : ''}`;
		return { path: `${base}${inNamespace}/${resource.name}`, called };
	}

	async #send<T>(method: string, path: string, body?: object, type?: string): Promise<T> {
		const response = await this.#request(method, path, body, type);
		if ((response.statusCode ?? 0) >= 300) throw await failure(method, path, response);
		return JSON.parse(await textOf(response));
	}

	async #request(method: string, path: string, body?: object, type?: string): Promise<IncomingMessage> {
		const text = body === undefined ? undefined : JSON.stringify(body);
		const headers = { accept: 'application/json', ...(type ? { 'content-type': type } : {}) };
		this.#access ??= readKubeconfig(this.#kubeconfig);
		const { server, authority, identity } = this.#access;
		const tls = { ca: authority, cert: identity.cert, key: identity.key };
		return new Promise((resolve, reject) => {
			const call = request(new URL(`${server}${path}`), { method, headers, ...tls }, resolve);
			call.once('error', (cause) =>
				reject(new Error('Cannot reach the API server: is the cluster up?', { cause })),
			);
			call.end(text);
		});
	}
}

async function textOf(response: IncomingMessage): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of response) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks).toString();
}

async function failure(method: string, path: string, response: IncomingMessage): Promise<StatusError> {
	const status = response.statusCode ?? 0;
	return new StatusError(
		status,
		`${method} ${path}: ${reasonOf(await textOf(response)) ?? `status ${status}`}`,
	);
}

function reasonOf(answer: string): string | undefined {
	try {
		return JSON.parse(answer).message;
	} catch {
		return undefined;
	}
}
