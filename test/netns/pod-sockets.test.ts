import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';
import type { Wanted } from './sockets-child.ts';

const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const API_PORT = 6443;
const FAMILIES = [4, 6] as const;
const SERVICE = { 4: '10.96.0.10', 6: 'fd00:10:96::10' } as const;
/** Two backends of each family, all in one pod. */
const BACKENDS = { 4: ['10.244.1.2', '10.244.1.3'], 6: ['fd00:244:1::2', 'fd00:244:1::3'] } as const;
const [FIRST, SECOND] = [0, 1] as const;
const BITS = { 4: 24, 6: 64 } as const;
const TARGET = 8080;
const NEW = 'mlq-new';
const script = (name: string) => resolve(import.meta.dirname, name);

const WANTED = FAMILIES.flatMap((family): Wanted[] =>
	(['tcp', 'mptcp', 'udp', 'send'] as const).map((kind) => ({
		name: `${kind}${family}`,
		kind: kind === 'tcp' || kind === 'mptcp' ? kind : `${kind}${family}`,
		address: SERVICE[family],
		port: 80,
	})),
);
const NAMES = WANTED.map(({ name }) => name);
const MPTCP = ['mptcp4', 'mptcp6'];
const TCP = ['tcp4', 'tcp6', ...MPTCP];
const UDP = ['udp4', 'udp6'];
const SEND = ['send4', 'send6'];

const ports = (port: number) =>
	['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol }));

function slice(version: number, family: 4 | 6, addresses: readonly string[]): object {
	const { metadata } = object(`web-v${family}`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
		addressType: `IPv${family}`,
		ports: ports(TARGET),
		endpoints: addresses.map((address) => ({
			addresses: [address],
			conditions: { ready: true },
			nodeName: 'node1',
		})),
	};
}

describe('sockets of a pod that starts while its agent is stopped', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let agent: RunningAgent;
	let client: RunningAgent;
	let version = 20;

	const ip = (...args: string[]) => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
	const within = (name: string, ...argv: string[]) => ['nsenter', `--net=/run/netns/${name}`, ...argv];
	const change = (...places: number[]): void => {
		for (const family of FAMILIES) {
			const addresses = places.map((place) => BACKENDS[family][place]!);
			api.push(SLICES, event('MODIFIED', slice(++version, family, addresses)));
		}
	};
	const move = (verb: 'add' | 'del', place: number): void => {
		for (const family of FAMILIES) {
			const address = `${BACKENDS[family][place]}/${BITS[family]}`;
			ip('-n', node.pod, 'address', verb, address, 'dev', 'eth0', ...(family === 6 ? ['nodad'] : []));
		}
	};
	const told = (name: string, field: 'answer' | 'error') =>
		client
			.lines()
			.filter((line) => line['name'] === name && line[field] !== undefined)
			.map((line) => line[field] as string);
	const last = (names: readonly string[]) => names.map((name) => told(name, 'answer').at(-1)?.split(' ')[0]);
	const errors = (names: readonly string[] = NAMES) => names.flatMap((name) => told(name, 'error'));
	const become = (names: readonly string[], answer: string) =>
		vi.waitFor(() => expect(last(names)).toEqual(names.map(() => answer)), { timeout: 5000, interval: 50 });
	const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
	const dump = (map: string) =>
		JSON.parse(
			execFileSync('bpftool', ['-j', 'map', 'dump', 'pinned', join(node.pinned, map)], {
				encoding: 'utf8',
				maxBuffer: 1 << 26,
			}),
		) as object[];

	/** Adds a pod whose host device has none of our programs. */
	function startPod(): void {
		node.switcher.create(NEW);
		ip('link', 'add', 'new0', 'netns', node.node, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NEW);
		ip('-n', NEW, 'link', 'set', 'lo', 'up');
		for (const [family, own, gateway, bits] of [
			[4, '10.244.3.9', '10.244.3.1', 32],
			[6, 'fd00:244:3::9', 'fd00:244:3::1', 128],
		] as const) {
			const dad = family === 6 ? ['nodad'] : [];
			ip('-n', NEW, 'address', 'add', `${own}/${bits}`, 'dev', 'eth0', ...dad);
			ip('-n', node.node, 'address', 'add', `${gateway}/${bits}`, 'dev', 'new0', ...dad);
			ip('-n', NEW, 'link', 'set', 'eth0', 'up');
			ip('-n', node.node, 'link', 'set', 'new0', 'up');
			ip('-n', NEW, 'route', 'add', gateway, 'dev', 'eth0');
			ip('-n', NEW, 'route', 'add', 'default', 'via', gateway);
			ip('-n', node.node, 'route', 'add', own, 'dev', 'new0');
		}
	}

	beforeAll(async () => {
		node = new AgentNode('mlq');
		const keep = 'net.ipv4.conf.eth0.promote_secondaries=1';
		execFileSync('nsenter', [`--net=/run/netns/${node.pod}`, 'sysctl', '-qw', keep]);
		move('add', SECOND);
		const named = FAMILIES.flatMap((family) =>
			['first', 'second'].map((name, place) => ({ name, address: BACKENDS[family][place], port: TARGET })),
		);
		const servers = node.start(
			...within(node.pod, process.execPath, script('named-servers-child.ts'), JSON.stringify(named)),
		);
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		const clusterIPs = FAMILIES.map((family) => SERVICE[family]);
		const spec = { type: 'ClusterIP', clusterIP: SERVICE[4], clusterIPs, ports: ports(80) };
		api.always('/api/v1/services', list('10', [object('web', 5, { spec })]));
		api.always(
			SLICES,
			list(
				'10',
				FAMILIES.map((family) => slice(6, family, [BACKENDS[family][FIRST]])),
			),
		);
		await api.listen(node.listenOnNode(API_PORT));
		agent = node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`);
		await vi.waitFor(
			() => {
				expect(agent.lines().some((line) => line['msg'] === 'sync.done')).toBe(true);
				expect(servers.lines()).toHaveLength(1);
			},
			{ timeout: 40_000, interval: 100 },
		);
		agent.child.kill('SIGSTOP');
		startPod();
		client = node.start(...within(NEW, process.execPath, script('sockets-child.ts'), JSON.stringify(WANTED)));
	});

	afterAll(async () => {
		agent?.child.kill('SIGCONT');
		await node?.close();
		await api?.close();
		execFileSync('ip', ['netns', 'del', NEW]);
	});

	it('reach their Service by UDP and TCP, and answers come from it', async () => {
		await become(NAMES, 'first');
		expect(errors()).toEqual([]);
		expect(SEND.flatMap((name) => told(name, 'answer'))).toEqual(
			FAMILIES.map((family) => `first from ${SERVICE[family]}:80`),
		);
		expect(dump('served_netns')).toEqual([]);
	});

	it('leave UDP to TC when the agent goes on, and follow the endpoints without an error', async () => {
		agent.child.kill('SIGCONT');
		await vi.waitFor(() => expect(dump('served_netns')).toHaveLength(1), { timeout: 8000, interval: 50 });
		change(SECOND);
		await become([...UDP, ...SEND], 'second');
		expect(errors()).toEqual([]);
	});

	it('TCP stays with a backend that is listed no more and lives', async () => {
		await pause(2000);
		expect(last(TCP)).toEqual(TCP.map(() => 'first'));
		expect(errors()).toEqual([]);
	});

	it('TCP is reset when that backend does not answer any more, and reaches the new one', async () => {
		move('del', FIRST);
		await become(TCP, 'second');
		expect(errors(TCP)).toEqual(TCP.map(() => 'ECONNRESET'));
		expect(errors([...UDP, ...SEND])).toEqual([]);
		move('add', FIRST);
	});

	it('connected UDP is refused while there is no backend, and served once there is one', async () => {
		change();
		await vi.waitFor(() => expect(errors(UDP)).toContain('ECONNREFUSED'), { timeout: 5000, interval: 50 });
		change(FIRST);
		await become([...UDP, ...SEND], 'first');
	});

	it('are forgotten when they are closed, but for subflows of MPTCP, which are sockets of the kernel', async () => {
		const subflows = 2 * MPTCP.length;
		expect(dump('sockets').length).toBeGreaterThan(subflows);
		client.child.kill('SIGKILL');
		await client.ended;
		expect(dump('sockets')).toHaveLength(subflows);
	});
});
