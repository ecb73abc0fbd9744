import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttp, type IncomingMessage } from 'node:http';
import { createServer as createHttp2 } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { type Probe, type ProbeListener, watchProbes } from '../../standalone/node/probe.ts';
import { type ActionTarget, act } from '../../standalone/node/probe-action.ts';

const servers: Server[] = [];
afterEach(() => {
	for (const server of servers.splice(0)) server.close();
});
const listen = (server: Server): Promise<number> =>
	new Promise((resolve) => {
		servers.push(server);
		server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
	});

/** A pod whose namespace is that of this process. */
const target = (port = 0): ActionTarget => ({
	switcher: {
		connectTcp: (_netns: string, address: string, to: number) => connect(to, address),
	} as unknown as NetnsSwitcher,
	place: { netns: 'none', cgroup: undefined },
	address: '127.0.0.1',
	env: {},
	port: (name) => (name === 'web' ? port : undefined),
});

test('httpGet passes from 200 to 399, with headers and a named port', async () => {
	let seen: IncomingMessage | undefined;
	const port = await listen(
		createHttp((request, response) => {
			seen = request;
			response.writeHead(Number(request.url!.slice(1))).end();
		}),
	);
	const get = (status: number) =>
		act(
			{ httpGet: { path: `/${status}`, port: 'web', httpHeaders: [{ name: 'X-A', value: 'b' }] } },
			target(port),
			1000,
		);
	expect(await get(200)).toBeUndefined();
	expect(await get(302)).toBeUndefined();
	expect(await get(404)).toBe('HTTP probe failed with statuscode: 404');
	expect(seen!.headers).toMatchObject({ 'x-a': 'b', 'user-agent': 'kube-probe/1.32' });
});

test('httpGet over https takes any certificate', async () => {
	const folder = mkdtempSync(join(tmpdir(), 'mln-tls-'));
	const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
	const made = spawnSync('openssl', [
		...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
		...['-subj', '/CN=x', '-keyout', key, '-out', cert],
	]);
	expect(made.status).toBe(0);
	const tls = { key: readFileSync(key), cert: readFileSync(cert) };
	rmSync(folder, { recursive: true });
	const port = await listen(createHttps(tls, (_request, response) => response.end()));
	expect(await act({ httpGet: { port, scheme: 'HTTPS' } }, target(), 1000)).toBeUndefined();
	expect(await act({ httpGet: { port } }, target(), 1000)).toMatch(/^Get "http:/);
});

test('tcpSocket passes when the port is open, and httpGet fails when nobody answers in time', async () => {
	const port = await listen(createHttp(() => {}));
	expect(await act({ tcpSocket: { port } }, target(), 1000)).toBeUndefined();
	expect(await act({ httpGet: { port } }, target(), 50)).toMatch(/aborted|timeout/);
	servers.pop()!.close();
	await expect.poll(() => act({ tcpSocket: { port } }, target(), 1000)).toMatch(/ECONNREFUSED/);
});

test.each([
	[1, undefined],
	[2, 'service unhealthy (responded with 2)'],
])('grpc reads the status %i of the health protocol', async (status, failure) => {
	let asked = '';
	const server = createHttp2();
	server.on('stream', (stream, headers) => {
		const chunks: Buffer[] = [];
		stream.on('data', (chunk: Buffer) => chunks.push(chunk));
		stream.on('end', () => {
			asked = `${headers[':path']} ${Buffer.concat(chunks).subarray(7).toString()}`;
			stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
			stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
			stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, status]));
		});
	});
	const port = await listen(server as unknown as Server);
	expect(await act({ grpc: { port, service: 'a.b' } }, target(), 1000)).toBe(failure);
	expect(asked).toBe('/grpc.health.v1.Health/Check a.b');
});

test.each([
	[1, [1]],
	[127, [0x7f]],
	[128, [0x80, 1]],
	[300, [0xac, 2]],
	[20_000, [0xa0, 0x9c, 1]],
])('grpc writes the length %i of a service name as a varint', async (size, length) => {
	const service = 's'.repeat(size);
	let request = Buffer.alloc(0);
	const server = createHttp2();
	server.on('stream', (stream) => {
		stream.on('data', (chunk: Buffer) => (request = Buffer.concat([request, chunk])));
		stream.on('end', () => {
			stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
			stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, 1]));
		});
	});
	const port = await listen(server as unknown as Server);
	expect(await act({ grpc: { port, service } }, target(), 5000)).toBe(undefined);
	expect(request.readUInt32BE(1)).toBe(request.length - 5);
	expect(request.subarray(5)).toEqual(Buffer.from([0x0a, ...length, ...Buffer.from(service)]));
});

/** Collects the calls of a listener until `enough` returns true. */
async function told(probes: Record<string, Probe>, port: number, enough: (events: string[]) => boolean) {
	const events: string[] = [];
	const stop = new AbortController();
	await new Promise<void>((resolve) => {
		const note = (event: string) => {
			events.push(event);
			if (enough(events)) resolve();
		};
		const listener: ProbeListener = {
			onStarted: () => note('started'),
			onReady: (ready) => note(`ready ${ready}`),
			isReady: () => false,
			onDead: (_probe, why) => note(`dead: ${why}`),
			onFailure: (message) => note(message.replace(/:.*/s, '')),
		};
		void watchProbes(probes, target(port), listener, stop.signal);
	});
	stop.abort();
	return events;
}

test('watchProbes() waits for the startup probe, then tells readiness, and death after its threshold', async () => {
	const answers = [500, 200, 200, 500, 500, 500];
	const port = await listen(
		createHttp((_request, response) => response.writeHead(answers.shift() ?? 500).end()),
	);
	const httpGet = { port: 'web' };
	const startupProbe = { httpGet, periodSeconds: 0.02, failureThreshold: 50 };
	const readinessProbe = { httpGet, periodSeconds: 0.02, failureThreshold: 2 };
	const events = await told({ startupProbe, readinessProbe }, port, (all) => all.includes('ready false'));
	expect(events).toEqual([
		'Startup probe failed',
		'started',
		'ready true',
		'Readiness probe failed',
		'Readiness probe failed',
		'ready false',
	]);
	const livenessProbe = { httpGet, periodSeconds: 0.02, failureThreshold: 3 };
	expect(await told({ livenessProbe }, port, (all) => all.at(-1)!.startsWith('dead'))).toEqual([
		'started',
		'ready true',
		'Liveness probe failed',
		'Liveness probe failed',
		'Liveness probe failed',
		'dead: failed liveness probe',
	]);
	const never = { httpGet, periodSeconds: 0.02, failureThreshold: 2 };
	expect((await told({ startupProbe: never }, port, (all) => all.at(-1)!.startsWith('dead'))).at(-1)).toBe(
		'dead: failed startup probe',
	);
});

test('watchProbes() without probes is started and ready', async () => {
	expect(await told({}, 0, (all) => all.length === 2)).toEqual(['started', 'ready true']);
});
