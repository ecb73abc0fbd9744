import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { redactTokens } from '../../agent/base/redact.ts';
import { openLog } from '../../agent/compose/log.ts';
import { loadConfig } from '../../agent/config.ts';
import { eventWriter } from '../../agent/kube/events.ts';
import { loadApiTarget } from '../../agent/kube/kubeconfig.ts';
import { Reflector } from '../../agent/kube/reflector.ts';
import { SERVICES } from '../../agent/kube/resources.ts';
import { openTransport } from '../../agent/kube/transport.ts';
import { runMaglane } from './cli-fixture.ts';
import { FakeApiServer, FakeClock, list, object, raw, type Step, status, watch } from './kube-fake-server.ts';

const PATH = '/api/v1/services';
const SECRET = 'zq7Kx-opaque_9sWvT2bJmEeL4';
const JWT = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(`{"sub":"${SECRET}"}`).toString('base64url')}.c2lnbmF0dXJl`;
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
type Level = (typeof LEVELS)[number];

let directory: string;
beforeEach(() => {
	directory = mkdtempSync(join(tmpdir(), 'mlk-token-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): string => {
	writeFileSync(join(directory, name), text);
	return join(directory, name);
};

/** A kubeconfig with the given user, as JSON. */
const kubeconfig = (server: string, user: object): string =>
	write(
		'config',
		JSON.stringify({
			'current-context': 'c',
			contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
			clusters: [{ name: 'c', cluster: { server } }],
			users: [{ name: 'u', user }],
		}),
	);

/** Fails if a text holds one of the secrets, as it is, in base64 or percent-encoded. */
function expectWithout(text: string, secrets: readonly string[]): void {
	for (const secret of secrets)
		for (const form of [secret, encodeURIComponent(secret), ...base64Forms(secret)])
			expect(text).not.toContain(form);
}

/** Base64 of a text at each of the three offsets that it may have in a longer one. */
function base64Forms(secret: string): string[] {
	return [0, 1, 2].flatMap((offset) => {
		const bytes = Buffer.from('x'.repeat(offset) + secret);
		const text = bytes.toString('base64').slice(Math.ceil((offset * 4) / 3), -4);
		return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
	});
}

/** Refuses, and sends the credentials back in the answer. */
const echo: Step = (response, { headers }) => {
	const message = `sent ${headers.authorization}`;
	response.writeHead(401).end(JSON.stringify({ kind: 'Status', reason: 'Unauthorized', message }));
};
const echoText: Step = (response, { headers }) =>
	void response.writeHead(500).end(`sent ${headers.authorization}`);

/** An API server that refuses, breaks off, answers and echoes, in this order. */
function failingServer(): FakeApiServer {
	return new FakeApiServer()
		.script(
			PATH,
			...[status(401, 'Unauthorized'), echo, echoText, status(403, 'Forbidden'), raw('<html>', 502)],
			...[raw('{"items": [', 200), list('5', [object('web', 1), {}]), watch([], 'reset'), echo],
		)
		.always('/api/v1/namespaces/default/events', echo);
}

/** Runs a reflector and an event writer until they have warned so many times. */
async function warnings(count: number, log: Logger, address: string, user: object): Promise<void> {
	const target = await loadApiTarget({ kubeconfig: kubeconfig(address, user) });
	const transport = openTransport(target);
	const { signal, ...stop } = stopper();
	const warn = vi.spyOn(log, 'warn');
	try {
		const sink = { upsert() {}, remove() {}, listed() {} };
		const common = { resource: SERVICES, transport, sink, clock: new FakeClock(), random: () => 0.5 };
		const running = new Reflector({ ...common, log }).run(signal);
		const event = { service: 'default/web', reason: 'R', action: 'A', message: 'M' };
		eventWriter({ transport, nodeName: 'n', log, now: Date.now, signal })(event);
		await vi.waitFor(() => expect(warn.mock.calls.length).toBeGreaterThanOrEqual(count), 10_000);
		await vi.waitFor(() => expect(warn.mock.calls.map(([, name]) => name)).toContain('event.lost'), 10_000);
		log.info({ server: target.server.href }, 'agent.started');
		stop.now();
		await running;
	} finally {
		warn.mockRestore();
		transport.close();
	}
}

function stopper() {
	const controller = new AbortController();
	return { signal: controller.signal, now: () => controller.abort() };
}

/** The agent's log, and the lines that it has written. */
function logger(level: Level): { log: Logger; lines: string[] } {
	const lines: string[] = [];
	return { log: openLog(level, { write: (line) => void lines.push(line) }), lines };
}

/** Log of an agent's part with a kubeconfig, whose requests fail in each of the ways. */
async function logOf(level: Level, user: object): Promise<string> {
	const { log, lines } = logger(level);
	const server = failingServer();
	const url = await server.listen();
	await warnings(9, log, url.href, user);
	// TLS against a server that speaks none
	await warnings(3, log, url.href.replace('http:', 'https:'), user);
	server.script(PATH, echo, echo);
	await warnings(3, log, url.href.replace('//', `//ann:${SECRET}@`), {});
	await server.close();
	await warnings(3, log, url.href, user);
	return lines.join('');
}

const USERS: Readonly<Record<string, () => object>> = {
	'an opaque token': () => ({ token: SECRET }),
	'a service account token': () => ({ token: JWT }),
	'a token file': () => ({ tokenFile: write('token', `${JWT}\n`) }),
	'a password': () => ({ username: 'ann', password: SECRET }),
};

describe('tokens never reach the log', () => {
	it.each(Object.keys(USERS))('with %s, at level trace', async (kind) => {
		const text = await logOf('trace', USERS[kind]!());
		expect(text).toContain('watch.failed');
		expect(text).toContain('event.lost');
		expect(text).toMatch(/: 401 .*sent (Bearer|Basic) \*\*\*/);
		expect(text).toContain('ECONNREFUSED');
		expect(text).toMatch(/ssl|tls/i);
		expectWithout(text, [SECRET, JWT]);
	});

	it('with a plugin whose output is broken', async () => {
		const command = write('plugin', `#!/bin/sh\necho '{"status":{"token":"${SECRET}"'\n`);
		chmodSync(command, 0o755);
		const exec = { apiVersion: 'client.authentication.k8s.io/v1', command, interactiveMode: 'Never' };
		const text = await logOf('trace', { exec });
		expect(text).toContain('The credential plugin printed no ExecCredential');
		expectWithout(text, [SECRET]);
	});

	it.each(LEVELS)('with a token, at level %s', async (level) => {
		const text = await logOf(level, { token: JWT });
		expect(text === '').toBe(['error', 'fatal', 'silent'].includes(level));
		expectWithout(text, [SECRET, JWT]);
	});

	it('nor does the configuration hold one', async () => {
		const config = await loadConfig(
			{ kubeconfig: kubeconfig('https://192.0.2.1', { token: SECRET }), nodeName: 'n' },
			{},
		);
		const { log, lines } = logger('trace');
		log.trace({ config }, 'config');
		const text = lines.join('');
		expect(text).toContain(directory);
		expectWithout(text, [SECRET]);
	});
});

describe('errors on a terminal hold no tokens', () => {
	it.each([
		['JSON', `{"users": [{"user": {"token": "${SECRET}" "x"}}]}`],
		['YAML', `users:\n- user:\n    token: ${SECRET}\n  - x: [`],
		['YAML of one line', `a: b: ${SECRET}`],
	])('of a kubeconfig that is broken %s', async (_format, text) => {
		const { code, err } = await runMaglane(['env', '--kubeconfig', write('broken', text)], {
			listServices: async (file) => {
				await loadApiTarget({ kubeconfig: file! });
				return [];
			},
		});
		expect(code).toBe(1);
		expect(err).toContain('Cannot parse kubeconfig');
		expectWithout(err, [SECRET]);
	});

	it('of an address that is not used', async () => {
		const bad = loadApiTarget({ apiServer: `ftp://ann:${SECRET}@192.0.2.1` });
		await expect(bad).rejects.toThrow('"ftp://***@192.0.2.1"');
	});

	it('of a server that echoes a header', async () => {
		const listServices = async (): Promise<never> => {
			throw new Error(`401: Authorization: Bearer ${SECRET}`, { cause: new Error(JWT) });
		};
		const { err } = await runMaglane(['env'], { listServices });
		expect(err).toContain('Bearer ***');
		expectWithout(err, [SECRET, JWT]);
	});
});

describe('redactTokens()', () => {
	it.each([
		['Bearer abc.def', 'Bearer ***'],
		['authorization: basic YTpi==, x', 'authorization: basic ***, x'],
		[`token ${JWT}.`, 'token ***.'],
		['"Bearer a1" and Bearer%20a1', '"Bearer ***" and Bearer ***'],
	])('%s', (text, expected) => {
		expect(redactTokens(text)).toBe(expected);
	});

	it.each([
		'GET https://192.0.2.1:6443/api failed',
		'Basic authentication is off',
		'no bearer token',
		'eyJ',
		'',
	])('leaves %j as it is', (text) => {
		expect(redactTokens(text)).toBe(text);
	});
});
