import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cgroup2Mount } from '../../agent/bpf/mounts.ts';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';

const PODS = '/api/v1/pods';
const API_PORT = 6443;
const SERVICE = '10.96.0.30';
const TARGET = 8080;
const CLIENT = 'mlv-new';
const UID = '5f0c3a52-0d2f-4a8e-9a51-6a5f1b2c3d4e';
/** Slice names of a kubelet with the systemd driver. */
const SLICES = ['kubepods.slice', `kubepods-pod${UID.replaceAll('-', '_')}.slice`];

/** Connects to the Service by TCP and connected UDP, and prints the peers. */
const DIAL = `
	const socket = require('node:net').connect(80, '${SERVICE}', () => socket.write('?'));
	socket.on('data', (data) => {
		const udp = require('node:dgram').createSocket('udp4');
		udp.on('message', (answer) => {
			console.log(JSON.stringify({ tcp: String(data).trim(), udp: String(answer), peer: socket.remoteAddress }));
			setInterval(() => {}, 1000);
		});
		udp.connect(80, '${SERVICE}', () => udp.send('?'));
	});`;

function pod(version: number, label?: string): object {
	const labels = label === undefined ? {} : { 'maglane.io/socket-lb': label };
	const { metadata } = object('client', version, { spec: { nodeName: 'node1' } });
	return { metadata: { ...metadata, uid: UID, labels }, spec: { nodeName: 'node1', containers: [] } };
}

describe.each(['labels', 'host'] as const)('--socket-lb=%s', (mode) => {
	let node: AgentNode;
	let api: FakeApiServer;
	let agent: RunningAgent;
	const cgroup = () => join(cgroup2Mount()!, 'mlv/node1', ...SLICES);

	const ip = (...args: string[]) => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
	const translated = () =>
		JSON.parse(
			execFileSync('bpftool', ['-j', 'map', 'dump', 'pinned', join(node.pinned, 'sockets')], {
				encoding: 'utf8',
			}),
		).length as number;

	/**
	 * Runs a program in the cgroup of the pod.
	 * @returns the peers that it reached, and the number of translated sockets
	 */
	async function dial(): Promise<unknown> {
		const join_ = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';
		const enter = ['nsenter', `--net=/run/netns/${CLIENT}`, process.execPath, '-e', DIAL];
		const client = node.start('/bin/sh', '-c', join_, 'sh', cgroup(), ...enter);
		try {
			await vi.waitFor(() => expect(client.lines()).toHaveLength(1), { timeout: 8000, interval: 50 });
			return { ...client.lines()[0], sockets: translated() };
		} finally {
			client.child.kill('SIGKILL');
			await client.ended;
		}
	}

	beforeAll(async () => {
		node = new AgentNode('mlv');
		node.switcher.create(CLIENT);
		ip('link', 'add', 'new0', 'netns', node.node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', CLIENT);
		ip('-n', CLIENT, 'address', 'add', '10.244.3.9/24', 'dev', 'eth0');
		ip('-n', node.node, 'address', 'add', '10.244.3.1/24', 'dev', 'new0');
		ip('-n', CLIENT, 'link', 'set', 'eth0', 'up');
		ip('-n', node.node, 'link', 'set', 'new0', 'up');
		ip('-n', CLIENT, 'route', 'add', 'default', 'via', '10.244.3.1');
		mkdirSync(cgroup(), { recursive: true });
		const named = [{ name: 'web', address: node.podAddress, port: TARGET }];
		const server = join(import.meta.dirname, 'named-servers-child.ts');
		const servers = node.start(
			...['nsenter', `--net=/run/netns/${node.pod}`, process.execPath, server, JSON.stringify(named)],
		);
		api = new FakeApiServer();
		const ports = (port: number) =>
			['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol }));
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		api.always('/api/v1/namespaces', list('1', [{ metadata: { name: 'default', resourceVersion: '1' } }]));
		api.always(PODS, list('10', [pod(5, 'off')]));
		const spec = { type: 'ClusterIP', clusterIP: SERVICE, clusterIPs: [SERVICE], ports: ports(80) };
		api.always('/api/v1/services', list('10', [object('web', 5, { spec })]));
		const slice = object('web-1', 6);
		Object.assign((slice as { metadata: object }).metadata, {
			labels: { 'kubernetes.io/service-name': 'web' },
		});
		const endpoints = [{ addresses: [node.podAddress], conditions: { ready: true }, nodeName: 'node1' }];
		const list_ = list('10', [{ ...slice, addressType: 'IPv4', ports: ports(TARGET), endpoints }]);
		api.always('/apis/discovery.k8s.io/v1/endpointslices', list_);
		await api.listen(node.listenOnNode(API_PORT));
		agent = node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`, `--socket-lb=${mode}`);
		await vi.waitFor(
			() => {
				const said = agent.lines().map((line) => line['msg']);
				expect(said).toEqual(
					expect.arrayContaining(['sync.done', ...(mode === 'labels' ? ['sockets.left-out'] : [])]),
				);
				expect(servers.lines()).toHaveLength(1);
			},
			{ timeout: 40_000, interval: 100 },
		);
	});

	afterAll(async () => {
		for (const directory of [cgroup(), join(cgroup(), '..')])
			if (existsSync(directory)) await vi.waitFor(() => rmdirSync(directory));
		await node?.close();
		await api?.close();
		execFileSync('ip', ['netns', 'del', CLIENT]);
	});

	it('leaves a pod’s sockets alone, which TC serves', async () => {
		expect(await dial()).toEqual({ tcp: 'web', udp: 'web', peer: SERVICE, sockets: 0 });
	});

	if (mode === 'labels')
		it('serves them when the label goes', async () => {
			api.push(PODS, event('MODIFIED', pod(11)));
			await vi.waitFor(() =>
				expect(agent.lines().at(-1)).toMatchObject({ msg: 'sockets.left-out', pods: 0 }),
			);
			const result = (await dial()) as { sockets: number };
			expect(result).toMatchObject({ tcp: 'web', udp: 'web', peer: SERVICE });
			expect(result.sockets).toBeGreaterThan(0);
		});

	if (mode === 'host')
		it('serves sockets of the node', async () => {
			expect(
				await node.run('curl', '-s', '--max-time', '2', '--http0.9', '-d', 'x', `http://${SERVICE}`),
			).toMatchObject({
				out: expect.stringContaining('web'),
			});
		});
});
