import { existsSync, renameSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const API_PORT = 6443;
const CLUSTER_IP = '10.96.0.10';

function service(name: string, version: number, ip: string, ports: object[]): object {
	return object(name, version, { spec: { type: 'ClusterIP', clusterIP: ip, clusterIPs: [ip], ports } });
}

function slice(name: string, version: number, addresses: string[]): object {
	const { metadata } = object(`${name}-abc`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
		addressType: 'IPv4',
		ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
		endpoints: addresses.map((address) => ({
			addresses: [address],
			conditions: { ready: true },
			nodeName: 'node1',
		})),
	};
}

/** Pins of links, and XDP programs as the kernel lists them. */
const ATTACHED = [
	...['connect4', 'connect6', 'from_netdev', 'from_pod', 'getpeer4', 'getpeer6', 'recvmsg4', 'recvmsg6'],
	...['release', 'sendmsg4', 'sendmsg6', 'to_netdev', 'to_pod', 'xdp', 'xdp'],
];
const PORTS = [{ name: 'http', port: 80, protocol: 'TCP' }];

describe('maglane agent', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let web: http.Server;
	let agent: RunningAgent;

	/** Starts an API server on the node's loopback. It has one Service with one endpoint. */
	async function startApi(): Promise<void> {
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		api.always(SERVICES, list('10', [service('web', 5, CLUSTER_IP, PORTS)]));
		api.always(SLICES, list('10', [slice('web', 6, [node.podAddress])]));
		await api.listen(node.listenOnNode(API_PORT));
	}

	function start(): RunningAgent {
		return node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`);
	}

	const health = async (path: string): Promise<string> =>
		(await node.run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:10256${path}`))
			.out;
	const health6 = async (): Promise<string> =>
		(
			await node.run(
				'curl',
				'-s',
				'-o',
				'/dev/null',
				'-w',
				'%{http_code}',
				'http://[fd00:10::11]:10256/healthz',
			)
		).out;
	const statusz = async () =>
		JSON.parse(await node.curl('http://127.0.0.1:10249/statusz')) as {
			totals: { writes: number; syncs: number };
			problems: { object: string; field: string }[];
		};
	const ready = (): Promise<void> =>
		vi.waitFor(
			async () => {
				if (agent.child.exitCode !== null) throw new Error((await agent.ended).err);
				expect([await health('/readyz'), await health6()]).toEqual(['200', '200']);
			},
			{ timeout: 40_000, interval: 200 },
		);
	const frontends = async () => {
		const { code, out, err } = await node.maglane('service', 'list', '-o', 'json', `--pin-path=${node.pins}`);
		expect([code, err]).toEqual([0, '']);
		return JSON.parse(out) as { service: string; address: string; backends: { address: string }[] }[];
	};

	beforeAll(async () => {
		node = new AgentNode();
		web = http.createServer((_request, response) => response.end('from the pod'));
		await new Promise<void>((done) => web.listen({ fd: node.listenOnPod(8080) }, done));
		await startApi();
		agent = start();
		await ready();
	});

	afterAll(async () => {
		await node?.close();
		await api?.close();
		web?.close();
	});

	it('brings a Service into the pinned maps, and connections of the node to its pod', async () => {
		expect(await frontends()).toMatchObject([
			{
				service: 'default/web:80/tcp',
				address: `${CLUSTER_IP}:80`,
				backends: [{ address: `${node.podAddress}:8080`, share: 1, local: true }],
			},
		]);
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
		const { out } = await node.maglane('counters', '-o', 'json', `--pin-path=${node.pins}`);
		const counters = JSON.parse(out) as { reason: string; packets: number }[];
		expect(counters.find((c) => c.reason === 'sock_connect')?.packets).toBeGreaterThan(0);
	});

	it('attaches every program and says so', async () => {
		expect(node.attached()).toEqual(ATTACHED);
		const { out } = await node.maglane('status', `--pin-path=${node.pins}`);
		expect(out).toContain('Agent       in sync (node1)');
		expect(out).toContain('eth0: ml_from_netdev ml_to_netdev (tcx, first), ml_xdp (native)');
	});

	it('follows a change of the API', async () => {
		api.push(SERVICES, event('ADDED', service('later', 11, '10.96.0.11', PORTS)));
		api.push(SLICES, event('ADDED', slice('later', 12, [node.podAddress])));
		await vi.waitFor(async () => expect(await node.curl('http://10.96.0.11/')).toBe('from the pod'), {
			timeout: 5000,
			interval: 50,
		});
		api.push(SERVICES, event('DELETED', service('later', 13, '10.96.0.11', PORTS)));
		api.push(SLICES, event('DELETED', slice('later', 14, [])));
		await vi.waitFor(async () => expect(await frontends()).toHaveLength(1), { timeout: 10_000 });
	});

	it('names the field of a malformed Service in its log and in its status, and goes on', async () => {
		const ports = [{ name: 'http', port: 99999, protocol: 'TCP' }];
		api.push(SERVICES, event('ADDED', service('bad', 21, '10.96.0.299', ports)));
		await vi.waitFor(() => {
			const fields = agent
				.lines()
				.filter((line) => line['msg'] === 'object.problem' && line['object'] === 'Service default/bad')
				.map((line) => line['field']);
			expect(fields.sort()).toEqual(['spec.clusterIPs[0]', 'spec.ports[0].port']);
		});
		expect((await statusz()).problems).toHaveLength(2);
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
		api.push(SERVICES, event('DELETED', service('bad', 22, '10.96.0.299', ports)));
	});

	it('lets no second agent write the same pins', async () => {
		const second = node.startAgent(
			'--api-server=http://127.0.0.1:1',
			'--health-address=off',
			'--metrics-address=off',
		);
		const { code, err } = await second.ended;
		expect(code).toBe(1);
		expect(err).toMatch(/another agent does; stop it, or choose another --pin-path/);
		expect(await health('/healthz')).toBe('200');
	});

	it('serves on while it is killed, and writes nothing when it comes back', async () => {
		agent.child.kill('SIGKILL');
		await agent.ended;
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
		agent = start();
		await ready();
		expect((await statusz()).totals).toMatchObject({ syncs: 1, writes: 0 });
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
	});

	it('leaves everything attached at SIGTERM, and starts without an API server', async () => {
		agent.child.kill('SIGTERM');
		expect((await agent.ended).code).toBe(0);
		expect(agent.lines().at(-1)).toMatchObject({ msg: 'agent.stopped' });
		expect(node.attached()).toEqual(ATTACHED);
		await api.close();
		agent = start();
		await vi.waitFor(async () => expect(await health('/livez')).toBe('200'), {
			timeout: 30_000,
			interval: 200,
		});
		expect([await health('/healthz'), await health('/readyz')]).toEqual(['200', '503']);
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
		await startApi();
		await ready();
		expect((await statusz()).totals).toMatchObject({ writes: 0 });
	});

	it('what another ABI left serves until the API server has told all, then ours does, without a gap (U1)', async () => {
		agent.child.kill('SIGTERM');
		await agent.ended;
		await api.close();
		const other = join(node.pins, 'v999');
		renameSync(node.pinned, other);
		const ask = `while :; do curl -sS --max-time 2 http://${CLUSTER_IP}/ && echo || echo failed; done`;
		const client = node.start('sh', '-c', ask);
		agent = start();
		await vi.waitFor(async () => expect(await health('/livez')).toBe('200'), {
			timeout: 30_000,
			interval: 200,
		});
		expect([await health('/readyz'), node.attached()]).toEqual(['503', ['xdp']]);
		const { code, out } = await node.maglane('status', `--pin-path=${node.pins}`);
		expect([code, out]).toEqual([3, expect.stringContaining('Programs of another maglane version')]);
		await startApi();
		await ready();
		await vi.waitFor(() => expect(existsSync(other)).toBe(false), { timeout: 20_000 });
		expect(node.attached()).toEqual(ATTACHED);
		expect(await node.curl(`http://${CLUSTER_IP}/`)).toBe('from the pod');
		client.child.kill('SIGKILL');
		const answers = (await client.ended).out.split('\n').filter((line) => line !== '');
		expect(answers.length).toBeGreaterThan(20);
		expect(new Set(answers)).toEqual(new Set(['from the pod']));
	});

	it('cleanup takes everything away without an API server', async () => {
		agent.child.kill('SIGTERM');
		await agent.ended;
		const { code, out } = await node.maglane('cleanup', `--pin-path=${node.pins}`);
		expect(code).toBe(0);
		expect(out).toContain(`removed ${node.pinned}/frontends\n`);
		expect(node.attached()).toEqual([]);
		expect(existsSync(node.pins)).toBe(false);
		expect(await node.curl(`http://${CLUSTER_IP}/`)).not.toBe('from the pod');
		const again = await node.maglane('cleanup', `--pin-path=${node.pins}`);
		expect([again.code, again.out]).toEqual([0, '']);
	});
});
