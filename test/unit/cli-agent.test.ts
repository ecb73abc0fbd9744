import { once } from 'node:events';
import { createServer } from 'node:net';
import pino from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAPS } from '../../agent/abi/layout.ts';
import { systemClock } from '../../agent/base/clock.ts';
import { FakeArray, FakeHash, type FakeServiceMaps, fakeServiceMaps } from '../../agent/bpf/fake.ts';
import { frontendRows } from '../../agent/cli/frontend-rows.ts';
import { runAgent } from '../../agent/compose/agent.ts';
import type { AgentOptions } from '../../agent/compose/options.ts';
import { loadConfig } from '../../agent/config.ts';
import type { RunningServer } from '../../agent/http/server.ts';
import { event, FakeApiServer, list, object, raw, status as statusStep } from './kube-fake-server.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time';

function service(name: string, version: number, ip: string, port = 80): object {
	const ports = [{ name: 'http', port, protocol: 'TCP' }];
	return object(name, version, { spec: { type: 'ClusterIP', clusterIP: ip, clusterIPs: [ip], ports } });
}

function slice(name: string, version: number, addresses: string[], annotations = {}): object {
	const { metadata } = object(`${name}-abc`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name }, annotations },
		addressType: 'IPv4',
		ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
		endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
	};
}

const node = {
	metadata: { name: 'node1', uid: 'n', resourceVersion: '1' },
	status: { addresses: [{ type: 'InternalIP', address: '192.168.10.11' }] },
};

describe('runAgent()', () => {
	let api: FakeApiServer;
	let maps: FakeServiceMaps;
	let servers: { health?: RunningServer; metrics?: RunningServer };
	let stop: AbortController;
	let running: Promise<void>;
	let log: Record<string, unknown>[];
	let nodeAddresses: string[];

	async function agentOptions(addresses: Record<string, string>): Promise<AgentOptions> {
		stop = new AbortController();
		return {
			config: await loadConfig({ nodeName: 'node1', ...addresses }, {}),
			dataplane: {
				maps,
				counters: new FakeArray(maps.kernel, { ...MAPS.counters, cpus: 2 }),
				connections: new FakeHash(maps.kernel, { ...MAPS.connections, lru: true }),
				sockets: new FakeHash(maps.kernel, { ...MAPS.sockets, lru: true }),
				filled: () => {},
				followAddresses: () => {},
				leaveOut: () => {},
				destroySockets: () => ({ sockets: 0, more: false, left: 0 }),
				setNodeAddresses: (addresses) => void nodeAddresses.push(...addresses),
				status: () => ({
					attachments: [{ program: 'ml_xdp', target: 'eth0', mode: 'native' }],
					degradations: [],
				}),
			},
			target: { server: await api.listen(), options: async () => ({}) },
			log: pino({ level: 'info' }, { write: (line: string) => void log.push(JSON.parse(line)) }),
			clock: systemClock,
			random: Math.random,
			version: '0',
			abi: 1,
			signal: stop.signal,
			started: (s) => {
				servers = s;
			},
		};
	}

	async function start(): Promise<void> {
		const any = '127.0.0.1:0';
		running = runAgent(await agentOptions({ healthAddress: any, metricsAddress: any }));
		await vi.waitFor(() => expect(servers.metrics).toBeDefined());
	}

	const status = async (path: string): Promise<number> =>
		(await fetch(`http://127.0.0.1:${servers.health!.port}${path}`)).status;
	const metrics = async (): Promise<string> =>
		(await fetch(`http://127.0.0.1:${servers.metrics!.port}/metrics`)).text();
	const statusz = async () =>
		(await (await fetch(`http://127.0.0.1:${servers.metrics!.port}/statusz`)).json()) as Record<
			string,
			unknown
		>;
	const backends = (address: string): string[] | undefined =>
		frontendRows(maps)
			.find((row) => row.address === address)
			?.backends.map((backend) => backend.address);

	beforeEach(() => {
		api = new FakeApiServer();
		maps = fakeServiceMaps({ frontends: 100, backends: 100 });
		servers = {};
		log = [];
		nodeAddresses = [];
		api.script('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		api.script('/api/v1/nodes', list('1', [node]));
	});

	afterEach(async () => {
		stop.abort();
		await running;
		await api.close().catch(() => {});
	});

	it('brings Services from the API into the maps and follows changes', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toEqual(['10.244.1.2:8080']));
		expect(await status('/readyz')).toBe(200);
		await vi.waitFor(() =>
			api.push(SLICES, event('MODIFIED', slice('web', 11, ['10.244.1.2', '10.244.2.3']))),
		);
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toEqual(['10.244.1.2:8080', '10.244.2.3:8080']));
		expect(Object.values((await statusz())['services'] as object)).toEqual(['default/web:80/tcp']);
	});

	it('serves Services though it may not list the pods of host ports, and says so until it may', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		const forbidden = statusStep(403, 'Forbidden', 'pods is forbidden');
		api.script('/api/v1/pods', forbidden, forbidden, list('10', []));
		const any = '127.0.0.1:0';
		running = runAgent(await agentOptions({ healthAddress: any, metricsAddress: any, hostPorts: 'on' }));
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toEqual(['10.244.1.2:8080']));
		const degradations = async () => (await statusz())['degradations'];
		expect(await degradations()).toEqual([
			expect.stringContaining('Host ports are not served: List of pods'),
		]);
		expect(await metrics()).toMatch(/^maglane_degradations 1$/m);
		await vi.waitFor(async () => expect(await degradations()).toEqual([]), { timeout: 10_000 });
	});

	it('reads Endpoints where the API has no EndpointSlices', async () => {
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', statusStep(404, 'NotFound'));
		api.always('/api/v1/nodes', list('1', [node]));
		api.always(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		const ports = [{ name: 'http', port: 8080, protocol: 'TCP' }];
		const subsets = [{ addresses: [{ ip: '10.244.1.2' }, { ip: '10.244.1.3' }], ports }];
		api.always('/api/v1/endpoints', list('10', [object('web', 6, { subsets })]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toEqual(['10.244.1.2:8080', '10.244.1.3:8080']));
		expect(api.requestsOf(SLICES)).toEqual([]);
	});

	it('is alive but not ready without an API server, and writes nothing', async () => {
		api = new FakeApiServer();
		api.script('/apis/discovery.k8s.io/v1', ...Array.from({ length: 50 }, () => raw('no', 500)));
		await start();
		await vi.waitFor(() => expect(log.some((line) => line['msg'] === 'discovery.failed')).toBe(true));
		expect(await Promise.all(['/healthz', '/livez', '/readyz'].map(status))).toEqual([200, 200, 503]);
		expect(maps.kernel.journal).toEqual([]);
	});

	it('stays well and keeps serving while the API server is away', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toHaveLength(1));
		const written = maps.kernel.journal.length;
		await api.close();
		await vi.waitFor(async () => {
			const watches = (await statusz())['watches'] as Record<string, { error?: string }>;
			expect(watches['services']?.error).toMatch(/ECONNREFUSED|ECONNRESET/);
		});
		expect(await Promise.all(['/healthz', '/livez', '/readyz'].map(status))).toEqual([200, 200, 200]);
		expect(maps.kernel.journal).toHaveLength(written);
		expect(await metrics()).toMatch(/maglane_watch_stale_seconds\{resource="services"\} [\d.e-]+/);
	});

	it('names the field of a malformed Service and slice in the log, and serves the others', async () => {
		const bad = service('bad', 6, '10.96.0.999', 70000);
		api.script(SERVICES, list('10', [bad, service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2']), slice('bad', 7, ['not-an-ip'])]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toEqual(['10.244.1.2:8080']));
		const problems = log.filter((line) => line['msg'] === 'object.problem');
		const named = problems.map((line) => `${line['object']} ${line['field']}`);
		expect(named).toContain('Service default/bad spec.ports[0].port');
		expect(named).toContain('Service default/bad spec.clusterIPs[0]');
		expect(named).toContain('EndpointSlice default/bad-abc endpoints[0].addresses[0]');
		expect(problems.every((line) => typeof line['message'] === 'string' && line['level'] === 40)).toBe(true);
		expect(await metrics()).toContain('maglane_object_problems{kind="EndpointSlice"} 1');
	});

	it('measures syncs, changes and the latency from the change of a Pod', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'], { [TRIGGER]: '2020-01-01T00:00:00Z' })]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toHaveLength(1));
		const trigger = new Date(Date.now() - 2500).toISOString();
		await vi.waitFor(() =>
			api.push(
				SLICES,
				event('MODIFIED', slice('web', 11, ['10.244.1.2', '10.244.1.3'], { [TRIGGER]: trigger })),
			),
		);
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toHaveLength(2));
		const text = await metrics();
		expect(text).toContain('kubeproxy_network_programming_duration_seconds_count{ip_family="dual"} 1');
		expect(text).toMatch(
			/kubeproxy_network_programming_duration_seconds_bucket\{le="2",ip_family="dual"\} 0/,
		);
		expect(text).toContain('kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="dual"} 1');
		expect(text).toMatch(
			/kubeproxy_sync_partial_proxy_rules_duration_seconds_count\{ip_family="dual"\} [1-9]/,
		);
		expect(text).toContain('kubeproxy_sync_proxy_rules_endpoint_changes_total 2');
		expect(text).toContain('kubeproxy_sync_proxy_rules_endpoint_changes_pending 0');
		expect(text).toMatch(/rest_client_requests_total\{code="200",method="GET",host="127.0.0.1:\d+"\} [4-9]/);
		expect(text).toContain('maglane_map_entries{map="frontends"} 2');
	});

	it('serves the healthCheckNodePort of a Service with local traffic only', async () => {
		const port = 20_000 + (process.pid % 10_000);
		const more = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: port };
		const web = service('web', 5, '10.96.0.1') as { spec: object };
		api.script(SERVICES, list('10', [{ ...web, spec: { ...web.spec, ...more } }]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		await start();
		const answer = await vi.waitFor(() => fetch(`http://127.0.0.1:${port}/`), { timeout: 5000 });
		// the node of the endpoint is unknown
		expect([answer.status, await answer.json()]).toMatchObject([
			503,
			{ service: { namespace: 'default', name: 'web' }, localEndpoints: 0, serviceProxyHealthy: true },
		]);
	});

	it('ends with the reason, and holds no port, when one of its ports is taken', async () => {
		await start();
		const taken = servers.metrics!.port;
		const free = servers.health!.port;
		stop.abort();
		await running;
		await api.close();
		const blocker = createServer().listen(taken, '127.0.0.1');
		await once(blocker, 'listening');
		const options = await agentOptions({
			healthAddress: `127.0.0.1:${free}`,
			metricsAddress: `127.0.0.1:${taken}`,
		});
		await expect(runAgent(options)).rejects.toThrow(
			`Cannot listen on 127.0.0.1:${taken} (--metrics-address)`,
		);
		await expect(fetch(`http://127.0.0.1:${free}/livez`)).rejects.toThrow();
		blocker.close();
	});

	it('undoes nothing when it stops', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toHaveLength(1));
		const written = maps.kernel.journal.length;
		stop.abort();
		await running;
		expect(maps.kernel.journal).toHaveLength(written);
		expect(log.at(-1)).toMatchObject({ msg: 'agent.stopped', node: 'node1' });
	});

	it('writes nothing when it starts again on maps that are right', async () => {
		api.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		api.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		await start();
		await vi.waitFor(() => expect(backends('10.96.0.1:80')).toHaveLength(1));
		await vi.waitFor(async () => expect(await status('/readyz')).toBe(200));
		stop.abort();
		await running;
		await api.close();
		const written = maps.kernel.journal.length;
		const again = new FakeApiServer();
		again.script(
			'/apis/discovery.k8s.io/v1',
			raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })),
		);
		again.script('/api/v1/nodes', list('1', [node]));
		again.script(SERVICES, list('10', [service('web', 5, '10.96.0.1')]));
		again.script(SLICES, list('10', [slice('web', 6, ['10.244.1.2'])]));
		api = again;
		await start();
		await vi.waitFor(async () => expect(await status('/readyz')).toBe(200));
		expect(maps.kernel.journal).toHaveLength(written);
	});
});
