import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';

const API_PORT = 6443;
const NODE_PORT = 30080;
const HEALTH_PORT = 32080;
const PORTS = { service: [{ port: 80, nodePort: NODE_PORT, protocol: 'TCP' }], slice: [{ port: 8080 }] };
const CLUSTER_IPS = ['10.96.0.10', 'fd00:10:96::a'];
/** Each ClusterIP counts for both scopes, 127.0.0.1 and ::1 each for one. */
const WITHOUT_ADDRESS = 6;

function slice(family: 4 | 6, address: string): object {
	const { metadata } = object(`web-${family}`, 6);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
		addressType: `IPv${family}`,
		ports: PORTS.slice,
		endpoints: [{ addresses: [address], conditions: { ready: true }, nodeName: 'node1' }],
	};
}

describe('--nodeport-addresses', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let web: http.Server;
	let agent: RunningAgent;

	const onDevice = (verb: 'add' | 'del', address: string, device = 'eth0'): void => {
		const nodad = verb === 'add' && address.includes(':') ? ['nodad'] : [];
		execFileSync('ip', ['-n', node.node, 'address', verb, address, 'dev', device, ...nodad]);
	};

	/** Sends a request from the outside client. */
	const ask = (address: string, port = NODE_PORT): Promise<string> => node.ask(node.client, address, port);

	const frontends = async (): Promise<number> => {
		const status = await node.curl('http://127.0.0.1:10249/statusz');
		return (JSON.parse(status) as { counts: { frontends: number } }).counts.frontends;
	};
	const healthAt = async (address: string) =>
		expect(await ask(address, HEALTH_PORT)).toContain('"localEndpoints":1');
	const soon = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 5000, interval: 20 });

	beforeAll(async () => {
		node = new AgentNode('mls-np');
		web = http.createServer((_request, response) => response.end('from the pod'));
		await new Promise<void>((done) => web.listen({ fd: node.listenOnPod(8080) }, done));
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		const spec = {
			type: 'LoadBalancer',
			externalTrafficPolicy: 'Local',
			healthCheckNodePort: HEALTH_PORT,
			clusterIPs: CLUSTER_IPS,
			ports: PORTS.service,
		};
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		api.always('/api/v1/services', list('10', [object('web', 5, { spec })]));
		const slices = [slice(4, node.podAddress), slice(6, 'fd00:244:1::2')];
		api.always('/apis/discovery.k8s.io/v1/endpointslices', list('10', slices));
		await api.listen(node.listenOnNode(API_PORT));
		agent = node.startAgent(
			`--api-server=http://127.0.0.1:${API_PORT}`,
			'--nodeport-addresses=192.168.10.64/26,fd00:10::40/122',
		);
		await vi.waitFor(() => expect(agent.lines().map((line) => line['msg'])).toContain('sync.done'), {
			timeout: 40_000,
			interval: 100,
		});
	});

	afterAll(async () => {
		await node?.close();
		await api?.close();
		web?.close();
	});

	it("serves none of the node's addresses when none is in the ranges, but loopback", async () => {
		expect(await frontends()).toBe(WITHOUT_ADDRESS);
		expect(await ask(node.nodeAddress)).toBe('ECONNREFUSED');
		expect(await ask('fd00:10::11')).toBe('ECONNREFUSED');
		expect(await node.curl(`http://127.0.0.1:${NODE_PORT}/`)).toBe('from the pod');
		expect(await node.curl(`http://[::1]:${NODE_PORT}/`)).toBe('from the pod');
	});

	it.each([
		['192.168.10.77', '/24'],
		['fd00:10::44', '/64'],
	])('answers at %s soon after it is added, and not after it is gone', async (address, prefix) => {
		onDevice('add', address + prefix);
		await soon(async () => expect(await ask(address)).toBe('from the pod'));
		expect(await node.curl(`http://${address.includes(':') ? `[${address}]` : address}:${NODE_PORT}/`)).toBe(
			'from the pod',
		);
		onDevice('del', address + prefix);
		await soon(async () => expect(await frontends()).toBe(WITHOUT_ADDRESS));
		expect(await ask(address)).not.toBe('from the pod');
	});

	it('serves healthCheckNodePort at the same addresses, and follows them', async () => {
		expect(await ask(node.nodeAddress, HEALTH_PORT)).toBe('ECONNREFUSED');
		onDevice('add', '192.168.10.77/24');
		await vi.waitFor(() => healthAt('192.168.10.77'), { timeout: 5000, interval: 50 });
		onDevice('add', 'fd00:10::44/64');
		await vi.waitFor(() => healthAt('fd00:10::44'), { timeout: 5000, interval: 50 });
		expect(await ask(node.nodeAddress, HEALTH_PORT)).toBe('ECONNREFUSED');
		onDevice('del', '192.168.10.77/24');
		onDevice('del', 'fd00:10::44/64');
		await soon(async () => expect(await frontends()).toBe(WITHOUT_ADDRESS));
	});

	it('takes an address of any device of the node, but not one that a pod has as its gateway', async () => {
		onDevice('add', '192.168.10.78/32', 'lo');
		await soon(async () => expect(await frontends()).toBe(WITHOUT_ADDRESS + 2));
		onDevice('add', '192.168.10.79/32', 'pod0');
		onDevice('add', '192.168.10.80/32', 'lo');
		await soon(async () => expect(await frontends()).toBe(WITHOUT_ADDRESS + 4));
	});
});
