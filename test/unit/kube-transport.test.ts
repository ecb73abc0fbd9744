import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { loadApiTarget } from '../../agent/kube/kubeconfig.ts';
import { openTransport, type RequestSample, type Transport } from '../../agent/kube/transport.ts';

/** Creates an authority with the keys of a server and a client that it signed, using openssl(1). */
function makeCertificates(directory: string): void {
	const openssl = (...args: string[]): void => {
		execFileSync('openssl', args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] });
	};
	const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
	openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.crt', '-days', '2', '-subj', '/CN=mlk-ca');
	for (const name of ['server', 'client']) {
		openssl(
			'req',
			...key,
			'-keyout',
			`${name}.key`,
			'-out',
			`${name}.csr`,
			'-subj',
			`/O=system:nodes/CN=${name}`,
		);
		writeFileSync(join(directory, `${name}.ext`), 'subjectAltName=DNS:kubernetes,IP:127.0.0.1\n');
		const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'];
		openssl(
			'x509',
			'-req',
			'-in',
			`${name}.csr`,
			...signed,
			'-extfile',
			`${name}.ext`,
			'-out',
			`${name}.crt`,
		);
	}
}

describe('openTransport() over TLS', () => {
	const directory = mkdtempSync(join(tmpdir(), 'mlk-tls-'));
	const seen: { user: string | undefined; headers: http.IncomingHttpHeaders; socket: Socket }[] = [];
	let server: https.Server;
	let transport: Transport;
	let samples: RequestSample[];

	beforeAll(async () => {
		makeCertificates(directory);
		const read = (name: string): Buffer => readFileSync(join(directory, name));
		const options = {
			key: read('server.key'),
			cert: read('server.crt'),
			ca: read('ca.crt'),
			requestCert: true,
		};
		server = https.createServer({ ...options, rejectUnauthorized: false }, (request, response) => {
			const { subject } = (request.socket as TLSSocket).getPeerCertificate();
			seen.push({
				user: subject?.CN as string | undefined,
				headers: request.headers,
				socket: request.socket,
			});
			response.end('{}');
		});
		await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
	});

	afterEach(() => {
		transport.close();
		seen.length = 0;
	});

	afterAll(() => {
		server.close();
		server.closeAllConnections();
		rmSync(directory, { recursive: true });
	});

	/** Opens a kubeconfig in kubeadm's format with the given user. */
	async function open(user: object, cluster: object = { 'certificate-authority': 'ca.crt' }): Promise<void> {
		const { port } = server.address() as AddressInfo;
		const file = join(directory, 'config.json');
		const config = {
			'current-context': 'c',
			contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
			clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${port}`, ...cluster } }],
			users: [{ name: 'u', user }],
		};
		writeFileSync(file, JSON.stringify(config));
		samples = [];
		transport = openTransport(await loadApiTarget({ kubeconfig: file }), (sample) => samples.push(sample));
	}

	async function get(path = '/api/v1/services'): Promise<number> {
		const answer = await transport.get(path, { limit: '5' }, new AbortController().signal);
		for await (const _ of answer.body);
		return answer.status;
	}

	it('shows its client certificate and uses one connection for requests after each other', async () => {
		await open({ 'client-certificate': 'client.crt', 'client-key': 'client.key' });
		expect([await get(), await get()]).toEqual([200, 200]);
		expect(seen.map(({ user }) => user)).toEqual(['client', 'client']);
		expect(seen[0]!.socket).toBe(seen[1]!.socket);
		expect(seen[0]!.headers).toMatchObject({ accept: 'application/json', 'user-agent': 'maglane' });
	});

	it('sends the bearer token of a file and no certificate', async () => {
		const file = join(directory, 'token');
		writeFileSync(file, 'one\n');
		await open({ tokenFile: 'token' });
		await get();
		expect(seen[0]!.headers.authorization).toBe('Bearer one');
		expect(seen[0]!.user).toBeUndefined();
	});

	it('refuses a server that the authority did not sign, and counts the failure', async () => {
		await open({ token: 't' }, {});
		await expect(get()).rejects.toMatchObject({
			message: expect.stringMatching(/^GET https:\/\/127.0.0.1:\d+\/api\/v1\/services failed$/),
			cause: { code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO_VERIFY/) },
		});
		expect(samples).toMatchObject([{ code: '<error>', verb: 'GET' }]);
		expect(seen).toEqual([]);
	});

	it('believes any server when told to', async () => {
		await open({ token: 't' }, { 'insecure-skip-tls-verify': true });
		expect(await get()).toBe(200);
	});

	it('knows the server by another name', async () => {
		await open({ token: 't' }, { 'certificate-authority': 'ca.crt', 'tls-server-name': 'kubernetes' });
		expect(await get()).toBe(200);
		transport.close();
		await open({ token: 't' }, { 'certificate-authority': 'ca.crt', 'tls-server-name': 'other.example' });
		await expect(get()).rejects.toMatchObject({ cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } });
	});

	it('gives up when the signal aborts', async () => {
		await open({ token: 't' }, { 'insecure-skip-tls-verify': true });
		const stop = new AbortController();
		stop.abort();
		await expect(transport.get('/x', {}, stop.signal)).rejects.toThrow();
		expect(samples).toEqual([]);
	});
});
