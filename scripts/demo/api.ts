/** The few requests that the demo makes to the API server, over its unix socket. */
import { request } from 'node:http';
import type { Fields, KubeObject } from '../../agent/standalone/port.ts';

export class ApiClient {
	readonly #socketPath: string;

	constructor(socketPath: string) {
		this.#socketPath = socketPath;
	}

	async list(path: string): Promise<KubeObject[]> {
		return (await this.#send('GET', path)).items;
	}

	post(path: string, object: KubeObject): Promise<Fields> {
		return this.#send('POST', path, object, 'application/json');
	}

	patch(path: string, patch: object): Promise<Fields> {
		return this.#send('PATCH', path, patch, 'application/merge-patch+json');
	}

	get(path: string): Promise<Fields> {
		return this.#send('GET', path);
	}

	/** Where objects of a kind are created, or undefined for a kind that the server does not know. */
	async collection({ apiVersion = 'v1', kind, metadata }: KubeObject): Promise<string | undefined> {
		const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
		const known = await this.get(base).catch(() => undefined);
		const resources: { name: string; kind: string; namespaced: boolean }[] = known?.resources ?? [];
		const resource = resources.find((one) => one.kind === kind && !one.name.includes('/'));
		if (!resource) return undefined;
		const inNamespace = resource.namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : '';
		return `${base}${inNamespace}/${resource.name}`;
	}

	#send(method: string, path: string, body?: object, type?: string): Promise<Fields> {
		const text = body === undefined ? undefined : JSON.stringify(body);
		const headers = { accept: 'application/json', ...(type ? { 'content-type': type } : {}) };
		return new Promise((resolve, reject) => {
			const call = request({ socketPath: this.#socketPath, method, path, headers }, (response) => {
				let answer = '';
				response.setEncoding('utf8');
				response.on('data', (chunk: string) => {
					answer += chunk;
				});
				response.on('end', () => {
					const status = response.statusCode ?? 0;
					if (status < 300) resolve(JSON.parse(answer));
					else reject(new Error(`${method} ${path}: ${reasonOf(answer) ?? `status ${status}`}`));
				});
			});
			call.once('error', reject);
			call.end(text);
		});
	}
}

function reasonOf(answer: string): string | undefined {
	try {
		return JSON.parse(answer).message;
	} catch {
		return undefined;
	}
}
