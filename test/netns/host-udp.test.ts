import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';
import type { Wanted } from './sockets-child.ts';

const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const API_PORT = 6443;
const FAMILIES = [4, 6] as const;
const SERVICE = { 4: '10.96.0.20', 6: 'fd00:10:96::20' } as const;
/** `local` is a pod of the node, `far` is behind its router. */
const BACKENDS = {
	local: { 4: '10.244.1.2', 6: 'fd00:244:1::2' },
	far: { 4: '10.244.2.2', 6: 'fd00:244:2::2' },
} as const;
type Backend = keyof typeof BACKENDS;
const TARGET = 8080;
const script = (name: string) => resolve(import.meta.dirname, name);

function slice(version: number, family: 4 | 6, backends: readonly Backend[]): object {
	const { metadata } = object(`late-v${family}`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'late' } },
		addressType: `IPv${family}`,
		ports: [{ name: 'udp', port: TARGET, protocol: 'UDP' }],
		endpoints: backends.map((backend) => ({
			addresses: [BACKENDS[backend][family]],
			conditions: { ready: true },
			nodeName: backend === 'local' ? 'node1' : 'node2',
		})),
	};
}

describe('connected UDP of a process of the node', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let version = 20;
	const clients = new Map<string, RunningAgent>();

	const within = (name: string, ...argv: string[]) => ['nsenter', `--net=/run/netns/${name}`, ...argv];
	const change = (...backends: Backend[]): void => {
		for (const family of FAMILIES) api.push(SLICES, event('MODIFIED', slice(++version, family, backends)));
	};
	/** Starts a long-lived process with a socket of each family. */
	const start = (name: string): void => {
		const wanted = FAMILIES.map((family): Wanted => {
			return { name: `udp${family}`, kind: `udp${family}`, address: SERVICE[family], port: 80 };
		});
		clients.set(name, node.start(process.execPath, script('sockets-child.ts'), JSON.stringify(wanted)));
	};
	const told = (name: string, field: 'answer' | 'error') =>
		FAMILIES.map((family) =>
			clients
				.get(name)!
				.lines()
				.filter((line) => line['name'] === `udp${family}` && line[field] !== undefined)
				.map((line) => line[field] as string),
		);
	const become = (name: string, answer: string) =>
		vi.waitFor(() => expect(told(name, 'answer').map((all) => all.at(-1))).toEqual([answer, answer]), {
			timeout: 8000,
			interval: 50,
		});
	const refused = (name: string, times: number) =>
		vi.waitFor(
			() => {
				const wanted = new Array<string>(times).fill('ECONNREFUSED');
				expect(told(name, 'error')).toEqual([wanted, wanted]);
			},
			{ timeout: 8000, interval: 50 },
		);

	beforeAll(async () => {
		node = new AgentNode('mlu');
		const strict = ['net.ipv4.conf.all.rp_filter=1', 'net.ipv4.conf.eth0.rp_filter=1'];
		execFileSync('nsenter', [`--net=/run/netns/${node.node}`, 'sysctl', '-qw', ...strict]);
		execFileSync('ip', ['-n', node.node, 'route', 'add', 'default', 'via', 'fd00:10::100']);
		// A socket keeps the source that it used towards the pod, so the router routes to local pods
		for (const [range, via] of [
			['10.244.1.0/24', '192.168.10.11'],
			['fd00:244:1::/64', 'fd00:10::11'],
		] as const)
			execFileSync('ip', ['-n', node.client, 'route', 'add', range, 'via', via]);
		for (const family of FAMILIES) {
			const bits = family === 4 ? 32 : 128;
			execFileSync('ip', [
				'-n',
				node.client,
				'address',
				'add',
				`${BACKENDS.far[family]}/${bits}`,
				'dev',
				'lo',
			]);
		}
		const servers = (
			[
				['local', node.pod],
				['far', node.client],
			] as const
		).map(([name, netns]) => {
			const named = FAMILIES.map((family) => ({ name, address: BACKENDS[name][family], port: TARGET }));
			return node.start(
				...within(netns, process.execPath, script('named-servers-child.ts'), JSON.stringify(named)),
			);
		});
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = ['192.168.10.11', 'fd00:10::11'].map((address) => ({ type: 'InternalIP', address }));
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		const clusterIPs = FAMILIES.map((family) => SERVICE[family]);
		const ports = [{ name: 'udp', port: 80, protocol: 'UDP' }];
		const spec = { type: 'ClusterIP', clusterIP: SERVICE[4], clusterIPs, ports };
		api.always('/api/v1/services', list('10', [object('late', 5, { spec })]));
		api.always(
			SLICES,
			list(
				'10',
				FAMILIES.map((family) => slice(6, family, [])),
			),
		);
		await api.listen(node.listenOnNode(API_PORT));
		const agent = node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`);
		await vi.waitFor(
			() => {
				expect(agent.lines().some((line) => line['msg'] === 'sync.done')).toBe(true);
				for (const server of servers) expect(server.lines()).toHaveLength(1);
			},
			{ timeout: 40_000, interval: 100 },
		);
		start('early');
	});

	afterAll(async () => {
		await node?.close();
		await api?.close();
	});

	it('is refused while there is no backend', async () => {
		await refused('early', 1);
		expect(told('early', 'answer')).toEqual([[], []]);
	});

	it('is served by the same socket when there is one behind the router', async () => {
		change('far');
		await become('early', 'far');
		start('given');
		await become('given', 'far');
	});

	it('goes to a pod of the node when that backend is gone, also where the socket was given it', async () => {
		change('local');
		await become('early', 'local');
		await become('given', 'local');
		start('near');
		await become('near', 'local');
	});

	it('goes from a pod of the node to another node, and back', async () => {
		change('far');
		await become('near', 'far');
		change('local');
		await become('near', 'local');
		await become('given', 'local');
		expect(told('near', 'error')).toEqual([[], []]);
		expect(told('given', 'error')).toEqual([[], []]);
	});

	it('is refused again when the last backend goes, and served again', async () => {
		change();
		await refused('near', 1);
		await refused('given', 1);
		await refused('early', 2);
		change('far', 'local');
		for (const name of clients.keys())
			await vi.waitFor(() => {
				for (const all of told(name, 'answer')) expect(['far', 'local']).toContain(all.at(-1));
			});
	});
});
