import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Health } from '../../agent/http/health.ts';
import {
	type AgentMetrics,
	BOTH_FAMILIES,
	createMetrics,
	type ReasonCount,
} from '../../agent/http/metrics.ts';
import { healthRoutes, metricsRoutes } from '../../agent/http/routes.ts';
import { type RunningServer, serve } from '../../agent/http/server.ts';

const LOCAL = { host: '127.0.0.1', port: 0 };

describe('the servers of the agent', () => {
	let servers: RunningServer[];
	let metrics: AgentMetrics;
	let counts: ReasonCount[];
	let now: number;
	let agent: { pending?: number; eligible: boolean };
	let ready: { synced: boolean; attached: boolean };
	const errors: unknown[] = [];
	const get = (server: number, path: string, method = 'GET'): Promise<Response> =>
		fetch(`http://127.0.0.1:${servers[server]!.port}${path}`, { method });

	/** @returns the status of the response to a request with this Host */
	const asked = (port: number, host: string | undefined, address = '127.0.0.1'): Promise<number> =>
		new Promise((done, fail) => {
			const socket = connect(port, address, () => {
				const line = host === undefined ? '' : `Host: ${host}\r\n`;
				socket.write(`GET /metrics HTTP/1.${host === undefined ? 0 : 1}\r\n${line}Connection: close\r\n\r\n`);
			});
			socket.once('data', (data) => {
				socket.destroy();
				done(Number(/^HTTP\/1\.1 (\d+)/.exec(String(data))![1]));
			});
			socket.once('error', fail);
		});

	beforeEach(async () => {
		now = Date.UTC(2026, 0, 1);
		agent = { eligible: true };
		const source = {
			pendingMs: () => agent.pending,
			sinceAppliedMs: () => 0,
			eligible: () => agent.eligible,
		};
		const health = new Health(source, () => now);
		ready = { synced: false, attached: false };
		counts = [{ reason: 'to_local', packets: 5n, bytes: 500n }];
		metrics = createMetrics(
			{
				counters: () => counts,
				maps: () => [{ map: 'frontends', entries: 3, capacity: 10 }],
				watches: () => [{ resource: 'services', staleSeconds: 12 }],
				problems: () => [{ kind: 'Service', count: 2 }],
				noLocalEndpoints: () => ({ internal: 1, external: 3 }),
				degradations: () => 1,
			},
			{ version: '0.1.0', abi: '1', node: 'v24' },
		);
		const onError = (error: unknown): void => void errors.push(error);
		servers = [
			await serve(
				LOCAL,
				healthRoutes(health, () => ready, metrics),
				'--health-address',
				onError,
			),
			await serve(
				LOCAL,
				metricsRoutes(metrics, () => ({ node: 'n' })),
				'--metrics-address',
				onError,
			),
		];
	});

	afterEach(() => Promise.all(servers.map((server) => server.close())));

	describe('on loopback', () => {
		it.each([
			['127.0.0.1', 200],
			['127.0.0.1:10249', 200],
			['localhost', 200],
			['LocalHost:1', 200],
			['[::1]:10249', 200],
			['10.0.0.1', 200],
			['node1:10249', 200],
			[undefined, 200],
			['evil.example', 403],
			['evil.example:10249', 403],
			['localhost.evil.example', 403],
			['127.0.0.1.evil.example', 403],
			['', 403],
		])('answers a page that came by the name %s: %i', async (host, status) => {
			for (const { port } of servers) {
				const found = await asked(port, host);
				expect(found === 404 ? 200 : found).toBe(status);
			}
		});
		it('lets no page read: it names no other origin', async () => {
			const { port } = servers[1]!;
			const headers = { origin: 'https://evil.example' };
			const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers });
			expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
			expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin');
		});
	});
	it('answers to every name where it serves the network', async () => {
		const everywhere = { host: '0.0.0.0', port: 0 };
		const open = await serve(
			everywhere,
			{ '/metrics': () => ({ status: 200, body: '' }) },
			'--flag',
			() => {},
		);
		servers.push(open);
		expect(await asked(open.port, 'node1.example')).toBe(200);
	});
	it('holds 256 connections and answers who comes then, so that no client keeps the kubelet out', async () => {
		const { port } = servers[0]!;
		const sockets: Socket[] = [];
		try {
			for (let i = 0; i < 256; i++) {
				const socket = connect(port, '127.0.0.1').on('error', () => {});
				sockets.push(socket);
				await once(socket.resume(), 'connect');
			}
			const closed = once(sockets[0]!, 'close', { signal: AbortSignal.timeout(5_000) });
			expect((await get(0, '/livez')).status).toBe(200);
			await closed;
			expect(sockets.filter((socket) => socket.closed)).toEqual([sockets[0]]);
		} finally {
			for (const socket of sockets) socket.destroy();
		}
	});

	it('/healthz answers as kube-proxy does (B-62)', async () => {
		const answer = await get(0, '/healthz');
		expect(answer.status).toBe(200);
		expect(answer.headers.get('content-type')).toBe('application/json');
		expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
		const time = '2026-01-01T00:00:00.000Z';
		expect(await answer.json()).toEqual({ lastUpdated: time, currentTime: time, nodeEligible: true });
	});

	it('/healthz is 503 on a leaving node while /livez stays 200; both are counted (B R-11)', async () => {
		agent.eligible = false;
		expect((await get(0, '/healthz')).status).toBe(503);
		const live = await get(0, '/livez');
		expect(live.status).toBe(200);
		expect(Object.keys((await live.json()) as object)).toEqual(['lastUpdated', 'currentTime']);
		agent.pending = 60_000;
		expect((await get(0, '/livez')).status).toBe(503);
		const text = await metrics.registry.metrics();
		expect(text).toContain('kubeproxy_proxy_healthz_total{code="503"} 1');
		expect(text).toContain('kubeproxy_proxy_livez_total{code="200"} 1');
		expect(text).toContain('kubeproxy_proxy_livez_total{code="503"} 1');
	});

	it('/readyz waits for the first sync and for the programs', async () => {
		expect((await get(0, '/readyz')).status).toBe(503);
		ready = { synced: true, attached: false };
		const partly = await get(0, '/readyz');
		expect([partly.status, await partly.json()]).toEqual([503, { synced: true, attached: false }]);
		ready = { synced: true, attached: true };
		expect((await get(0, '/readyz')).status).toBe(200);
	});

	it('/metrics reads the datapath at each scrape', async () => {
		const first = await (await get(1, '/metrics')).text();
		expect(first).toContain('maglane_datapath_packets_total{reason="to_local"} 5');
		expect(first).toContain('maglane_datapath_bytes_total{reason="to_local"} 500');
		expect(first).toContain('maglane_map_entries{map="frontends"} 3');
		expect(first).toContain('maglane_map_capacity{map="frontends"} 10');
		expect(first).toContain('maglane_watch_stale_seconds{resource="services"} 12');
		expect(first).toContain('maglane_object_problems{kind="Service"} 2');
		expect(first).toContain('maglane_build_info{version="0.1.0",abi="1",node_version="v24"} 1');
		expect(first).toContain(
			'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external"} 3',
		);
		expect(first).toMatch(/^process_resident_memory_bytes \d+/m);
		counts = [{ reason: 'to_local', packets: 7n, bytes: 700n }];
		const second = await (await get(1, '/metrics')).text();
		expect(second).toContain('maglane_datapath_packets_total{reason="to_local"} 7');
		expect(second).toContain('maglane_datapath_bytes_total{reason="to_local"} 700');
	});

	it("/metrics has kube-proxy's names and buckets", async () => {
		metrics.syncDuration.observe(BOTH_FAMILIES, 0.003);
		metrics.programmingDuration.observe(BOTH_FAMILIES, 0.2);
		const text = await (await get(1, '/metrics')).text();
		const buckets = (name: string): string[] =>
			[...text.matchAll(new RegExp(`^kubeproxy_${name}_bucket\\{le="([^"]+)"`, 'gm'))].map((m) => m[1]!);
		expect(buckets('sync_proxy_rules_duration_seconds')).toHaveLength(16);
		const programming = buckets('network_programming_duration_seconds');
		expect(programming.slice(0, 4)).toEqual(['0.25', '0.5', '1', '2']);
		expect(programming.slice(-3)).toEqual(['270', '300', '+Inf']);
		expect(programming).toHaveLength(2 + 59 + 12 + 7 + 1);
		expect(text).toMatch(/sync_proxy_rules_duration_seconds_bucket\{le="0.004",ip_family="dual"\} 1/);
	});

	it('/proxyMode and /statusz answer', async () => {
		expect(await (await get(1, '/proxyMode')).text()).toBe('maglane');
		expect(await (await get(1, '/statusz')).json()).toEqual({ node: 'n' });
	});

	it('serves nothing else, and nothing but GET and HEAD', async () => {
		expect((await get(0, '/')).status).toBe(404);
		expect((await get(0, '/__proto__')).status).toBe(404);
		for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
			const { status, headers } = await get(0, '/livez', method);
			expect([status, headers.get('allow')]).toEqual([405, 'GET, HEAD']);
		}
		const head = await get(0, '/livez?verbose', 'HEAD');
		expect([head.status, await head.text()]).toEqual([200, '']);
	});

	it('answers 500 and tells when a route throws', async () => {
		const routes = {
			'/x': () => {
				throw new Error('broken');
			},
		};
		servers.push(await serve(LOCAL, routes, '--x', (error) => void errors.push(error)));
		expect((await get(2, '/x')).status).toBe(500);
		expect(errors.at(-1)).toEqual(new Error('broken'));
	});

	it.each([
		['0.0.0.0', ['127.0.0.1', '::1'], [undefined]],
		['::', ['127.0.0.1', '::1'], [undefined]],
		['127.0.0.1', ['127.0.0.1', '::1'], ['127.0.0.1', '::1']],
		['::1', ['127.0.0.1', '::1'], ['::1', '127.0.0.1']],
		['localhost', ['127.0.0.1', '::1'], ['127.0.0.1', '::1']],
		['127.0.0.2', ['127.0.0.2'], ['127.0.0.2']],
	])('of %s answers in both families where it is no one address', async (host, addresses, hosts) => {
		const routes = { '/metrics': () => ({ status: 200, body: '' }) };
		const server = await serve({ host, port: 0 }, routes, '--x', (error) => void errors.push(error));
		servers.push(server);
		expect(server.hosts).toEqual(hosts);
		for (const address of addresses) expect(await asked(server.port, 'node1', address)).toBe(200);
		await server.close();
		for (const address of addresses)
			await expect(asked(server.port, 'node1', address)).rejects.toThrow('ECONNREFUSED');
	});

	it('serves one loopback address when the other is taken, and tells', async () => {
		const routes = { '/metrics': () => ({ status: 200, body: '' }) };
		const other = createServer().listen(0, '::1');
		await once(other, 'listening');
		const { port } = other.address() as AddressInfo;
		const server = await serve(
			{ host: '127.0.0.1', port },
			routes,
			'--x',
			(error) => void errors.push(error),
		);
		servers.push(server);
		expect([server.hosts, await asked(port, 'node1')]).toEqual([['127.0.0.1'], 200]);
		expect(errors.at(-1)).toMatchObject({ code: 'EADDRINUSE', address: '::1' });
		other.close();
	});

	it('names the flag when the port is taken', async () => {
		const address = { host: '127.0.0.1', port: servers[0]!.port };
		await expect(serve(address, {}, '--health-address', () => {})).rejects.toThrow(
			new RegExp(
				`Cannot listen on 127.0.0.1:${address.port} \\(--health-address\\); is another proxy running`,
			),
		);
	});
});
