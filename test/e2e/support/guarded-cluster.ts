/** A dedicated cluster for tests of requests that it must refuse. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { KeyPair } from '../../../standalone/auth/certificates.ts';
import { type Access, readKubeconfig } from '../../../standalone/cluster/kubeconfig.ts';
import { Environment } from './environment.ts';
import { type StandaloneDriver, startStandalone } from './standalone-cluster.ts';
import {
	asStranger,
	discover,
	type Place,
	POD_ACCOUNT,
	type Resource,
	type Sent,
	sleeper,
} from './trespass.ts';

export interface Answer {
	readonly code: number;
	readonly headers: IncomingHttpHeaders;
	readonly text: string;
}

export class GuardedCluster implements AsyncDisposable {
	readonly env: Environment;
	/** The state directory. */
	readonly state: string;
	readonly owner: Access;
	readonly resources: readonly Resource[];
	readonly reviews: readonly Resource[];
	/** Files of the test that pods and other users may read. */
	readonly folder: string;
	/** A program creates this file if it was started through the API without permission. */
	readonly touched: string;

	private constructor(env: Environment, state: string, owner: Access, resources: readonly Resource[]) {
		this.env = env;
		this.state = state;
		this.owner = owner;
		this.resources = resources.filter(({ stored }) => stored);
		this.reviews = resources.filter(({ stored }) => !stored);
		this.folder = mkdtempSync(join(tmpdir(), 'e2esec-open-'));
		chmodSync(this.folder, 0o755);
		this.touched = join(this.folder, 'touched');
	}

	/**
	 * @param accounts each get a pod of their name. `attacker` and `victim` use the default account
	 */
	static async start(name: string, ...accounts: string[]): Promise<GuardedCluster> {
		const driver = await startStandalone(`e2e${name.slice(0, 6)}`, '--families', 'v4,v6');
		const env = await Environment.open(name, driver);
		try {
			return await GuardedCluster.#prepare(env, driver, accounts);
		} catch (error) {
			await env[Symbol.asyncDispose]();
			throw error;
		}
	}

	static async #prepare(
		env: Environment,
		driver: StandaloneDriver,
		accounts: readonly string[],
	): Promise<GuardedCluster> {
		for (const account of accounts) await env.kubectl('create', 'serviceaccount', account);
		await env.kubectl('create', 'configmap', 'victim', '--from-literal=value=one');
		await env.kubectl('create', 'secret', 'generic', 'victim', '--from-literal=value=one');
		const pods = [sleeper('attacker'), sleeper('victim'), ...accounts.map((one) => sleeper(one, one))];
		await env.apply(...pods);
		const names = ['attacker', 'victim', ...accounts].map((pod) => `pod/${pod}`);
		await env.kubectl('wait', '--for=condition=Ready', '--timeout=60s', ...names);
		const owner = readKubeconfig(driver.kubeconfig);
		return new GuardedCluster(env, driver.directory, owner, await discover(env));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.env[Symbol.asyncDispose]();
		rmSync(this.folder, { recursive: true, force: true });
	}

	/** Another user of this machine. */
	stranger(): Place {
		return { run: asStranger, urls: [this.owner.server] };
	}

	/** A pod that connects through the Service. */
	byService(): Place {
		return { run: this.#inPod('attacker'), urls: ['https://kubernetes.default.svc'] };
	}

	/** A pod that connects to the node addresses of both families. */
	byNodes(): Place {
		const urls = this.env.nodes.flatMap(({ v4, v6 }) => [`https://${v4}:6443`, `https://[${v6}]:6443`]);
		return { run: this.#inPod('attacker'), urls };
	}

	#inPod = (pod: string) => (args: readonly string[], input: string) =>
		this.env.kubectlInput(input, 'exec', '-i', pod, '--', 'sh', ...args);

	/** The token in the file system of a pod. */
	tokenOf(pod: string): Promise<string> {
		return this.env.kubectl('exec', pod, '--', 'cat', `${POD_ACCOUNT}/token`);
	}

	/** The key that signs tokens. */
	tokenKey(): string {
		return readFileSync(join(this.state, 'pki/sa.key'), 'utf8');
	}

	/**
	 * Writes a certificate and its key to files that other users can read.
	 * @returns the path without its extension
	 */
	share(name: string, { cert, key }: KeyPair): string {
		const file = join(this.folder, name.replaceAll(' ', '-'));
		writeFileSync(`${file}.crt`, cert);
		writeFileSync(`${file}.key`, key);
		return file;
	}

	nodeFile(node: string): string {
		return join(this.state, 'nodes', `${node}.kubeconfig`);
	}

	/** Path of a core resource in the tests' namespace. */
	inside(resource: string): string {
		return `/api/v1/namespaces/${this.env.namespace}/${resource}`;
	}

	/**
	 * Sends a request with any headers from this process to the loopback listener. For an upgrade the
	 * code is 101.
	 */
	send({ method = 'GET', path, headers = {}, body }: Sent, identity?: KeyPair): Promise<Answer> {
		const { hostname: host, port } = new URL(this.owner.server);
		const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
		const tls = { ca: this.owner.authority, servername: 'localhost', ...identity, agent: false as const };
		return new Promise((resolve, reject) => {
			const sent = httpsRequest({ host, port, path, method, headers: { ...headers, ...length }, ...tls });
			sent.on('upgrade', ({ statusCode = 0, headers }, socket) => {
				socket.destroy();
				resolve({ code: statusCode, headers, text: '' });
			});
			sent.on('response', (response) => {
				let text = '';
				response.on('data', (chunk) => (text += chunk));
				response.on('end', () => {
					resolve({ code: response.statusCode ?? 0, headers: response.headers, text });
				});
			});
			sent.on('error', reject);
			sent.end(body);
		});
	}

	/** Fails if any of the attempts had an effect. */
	async expectUntouched(): Promise<void> {
		expect(existsSync(this.touched)).toBe(false);
		for (const { name, apiVersion } of this.resources) {
			const group = apiVersion.includes('/') ? `.${apiVersion.split('/').reverse().join('.')}` : '';
			const args = [`${name}${group}`, 'evil', '--ignore-not-found', '-o', 'name'];
			expect(await this.env.kubectl('get', ...args)).toBe('');
		}
		for (const resource of ['pod', 'configmap', 'secret']) {
			const { metadata } = await this.env.get(resource, 'victim');
			expect(metadata).not.toHaveProperty('deletionTimestamp');
			expect(metadata.labels?.evil).toBeUndefined();
		}
	}
}
