import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadApiTarget } from '../../agent/kube/kubeconfig.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function kubeconfig(user: string, cluster = 'server: https://192.0.2.1:6443/'): string {
	return `apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: c, user: u}}
clusters:
- name: c
  cluster:
    ${cluster}
users:
- name: u
  user:
    ${user}
`;
}

describe('loadApiTarget()', () => {
	let dir: string;
	const write = (name: string, text: string): string => {
		writeFileSync(join(dir, name), text);
		return join(dir, name);
	};
	beforeEach(() => {
		dir = mkdtempSync(join(tmpdir(), 'mlk-kube-'));
	});
	afterEach(() => rmSync(dir, { recursive: true }));

	it('takes server, authority and client certificate, inline and from files beside it', async () => {
		write('client.key', 'KEY');
		const file = write(
			'config',
			kubeconfig(
				`client-certificate-data: ${base64('CERT')}\n    client-key: client.key`,
				`server: https://192.0.2.1:6443/\n    certificate-authority-data: ${base64('CA')}\n    tls-server-name: api`,
			),
		);
		const target = await loadApiTarget({ kubeconfig: file });
		expect(target.server.host).toBe('192.0.2.1:6443');
		const options = await target.options();
		expect(String(options.ca)).toBe('CA');
		expect(String(options.cert)).toBe('CERT');
		expect(String(options.key)).toBe('KEY');
		expect(options.servername).toBe('api');
		expect(options.rejectUnauthorized).toBeUndefined();
	});

	it('sends a bearer token; --api-server wins over the file', async () => {
		const file = write('config', kubeconfig('token: secret'));
		const target = await loadApiTarget({ kubeconfig: file, apiServer: 'http://127.0.0.1:8001/prefix/' });
		expect(target.server.href).toBe('http://127.0.0.1:8001/prefix');
		expect((await target.options()).headers).toEqual({ Authorization: 'Bearer secret' });
	});

	it('reads a token file beside the kubeconfig, without its newline', async () => {
		write('token', 'rotated\n');
		const file = write('config', kubeconfig('tokenFile: token'));
		const target = await loadApiTarget({ kubeconfig: file });
		expect((await target.options()).headers).toEqual({ Authorization: 'Bearer rotated' });
	});

	it('reads a token file again after the server refused its token (C5)', async () => {
		write('token', 'old');
		const target = await loadApiTarget({ kubeconfig: write('config', kubeconfig('tokenFile: token')) });
		const token = async () => (await target.options()).headers;
		expect(await token()).toEqual({ Authorization: 'Bearer old' });
		write('token', 'new');
		expect(await token()).toEqual({ Authorization: 'Bearer old' });
		target.refused!();
		expect(await token()).toEqual({ Authorization: 'Bearer new' });
	});

	it('runs a credential plugin', async () => {
		const credential = '{"status":{"token":"from-plugin"}}';
		const user = `exec: {apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['${credential}']}`;
		const target = await loadApiTarget({ kubeconfig: write('config', kubeconfig(user)) });
		expect((await target.options()).headers).toEqual({ Authorization: 'Bearer from-plugin' });
	});

	it('reads a kubeconfig in JSON and basic credentials', async () => {
		const text = JSON.stringify({
			'current-context': 'x',
			contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
			clusters: [{ name: 'c', cluster: { server: 'http://127.0.0.1:1', 'insecure-skip-tls-verify': true } }],
			users: [{ name: 'u', user: { username: 'me', password: 'pw' } }],
		});
		const options = await (await loadApiTarget({ kubeconfig: write('c.json', text) })).options();
		expect(options.headers).toEqual({ Authorization: `Basic ${base64('me:pw')}` });
		expect(options.rejectUnauthorized).toBe(false);
	});

	it('leaves a proxy to client-node, whose agent it takes', async () => {
		const cluster = 'server: https://192.0.2.1:6443\n    proxy-url: http://127.0.0.1:3128';
		const target = await loadApiTarget({ kubeconfig: write('config', kubeconfig('token: t', cluster)) });
		const options = await target.options();
		expect(options.agent?.constructor.name).toBe('HttpsProxyAgent');
		expect(options.headers).toEqual({ Authorization: 'Bearer t' });
	});

	it.each([
		['{current-context: none}', /no context "none"/],
		['{current-context: a, contexts: [{name: a, context: {cluster: gone}}]}', /no cluster "gone"/],
		['[1', /Cannot parse kubeconfig/],
		['just text', /holds no mapping/],
	])('refuses %s by name', async (text, message) => {
		await expect(loadApiTarget({ kubeconfig: write('config', text) })).rejects.toThrow(message);
	});

	it('names the flags when there is neither a file nor a pod', async () => {
		await expect(loadApiTarget({})).rejects.toThrow(/give --kubeconfig or --api-server/);
		await expect(loadApiTarget({ kubeconfig: '/nonexistent/config' })).rejects.toThrow(
			/Cannot read kubeconfig \/nonexistent\/config/,
		);
		await expect(loadApiTarget({ apiServer: 'ftp://x' })).rejects.toThrow(/expected http\(s\)/);
	});

	it('finds the API server of the pod that it runs in', async () => {
		const target = await loadApiTarget({ inCluster: '[fd00:10:96::1]:443' });
		expect(target.server.href).toBe('https://[fd00:10:96::1]/');
	});
});
