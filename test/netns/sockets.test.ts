import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import net from 'node:net';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';
import type { Wanted } from './sockets-child.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const API_PORT = 6443;
const V4 = '10.96.0.10';
const V6 = 'fd00:10:96::10';
/** Of backends by family: a server of IPv6 takes IPv4 too. */
const TARGET = { 4: 8080, 6: 8081 } as const;
const ONE = '10.244.1.2';
const TWO = '10.244.1.3';
const POD_V6 = 'fd00:244:1::2';
const CHILD = resolve(import.meta.dirname, 'sockets-child.ts');

const ports = (port: number) =>
	['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol }));

function service(version: number): object {
	const spec = { type: 'ClusterIP', clusterIP: V4, clusterIPs: [V4, V6], ports: ports(80) };
	return object('web', version, { spec });
}

interface Listed {
	readonly address: string;
	readonly conditions?: object;
}

function slice(version: number, family: 4 | 6, endpoints: readonly Listed[]): object {
	const { metadata } = object(`web-v${family}`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
		addressType: `IPv${family}`,
		ports: ports(TARGET[family]),
		endpoints: endpoints.map(({ address, conditions }) => ({
			addresses: [address],
			conditions: conditions ?? { ready: true },
			nodeName: 'node1',
		})),
	};
}

const WANTED: readonly Wanted[] = [
	{ name: 'udp', kind: 'udp4', address: V4, port: 80 },
	{ name: 'udp mapped', kind: 'udp6', address: `::ffff:${V4}`, port: 80 },
	{ name: 'udp v6', kind: 'udp6', address: V6, port: 80 },
	{ name: 'udp direct', kind: 'udp4', address: ONE, port: TARGET[4] },
	{ name: 'tcp', kind: 'tcp', address: V4, port: 80 },
	{ name: 'tcp mapped', kind: 'tcp', address: `::ffff:${V4}`, port: 80 },
	{ name: 'tcp v6', kind: 'tcp', address: V6, port: 80 },
	{ name: 'tcp direct', kind: 'tcp', address: ONE, port: TARGET[4] },
];
const DIRECT = ['udp direct', 'tcp direct'];

describe('sockets of a backend that goes', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let agent: RunningAgent;
	let client: RunningAgent;
	let version = 20;
	const servers: { close(): unknown }[] = [];

	/** UDP and TCP on an address of the pod; every question is answered with the name. */
	async function serve(name: string, family: 4 | 6, address?: string): Promise<void> {
		const { switcher, pod } = node;
		const options = { family, ...(address && { address }) };
		const udp = dgram.createSocket(family === 4 ? 'udp4' : 'udp6');
		udp.on('message', (_, { port, address: from }) => udp.send(name, port, from));
		const fd = switcher.bindUdp(pod, TARGET[family], options);
		await new Promise<void>((done) => udp.bind({ fd }, done));
		const tcp = net.createServer((socket) => {
			socket.on('data', () => socket.write(`${name}\n`)).on('error', () => {});
		});
		await new Promise<void>((done) => {
			tcp.listen({ fd: switcher.listenTcp(pod, TARGET[family], options) }, done);
		});
		servers.push(udp, tcp);
	}

	/** With no capabilities but those of the DaemonSet. */
	const startAgent = (): RunningAgent =>
		node.startAgentBy(
			['setpriv', '--bounding-set=-all,+bpf,+net_admin,+perfmon', '--inh-caps=-all'],
			`--api-server=http://127.0.0.1:${API_PORT}`,
		);
	const change = (family: 4 | 6, ...endpoints: Listed[]): void => {
		api.push(SLICES, event('MODIFIED', slice(++version, family, endpoints)));
	};
	const told = (name: string, field: 'answer' | 'error') =>
		client
			.lines()
			.filter((line) => line['name'] === name && line[field] !== undefined)
			.map((line) => line[field]);
	const answersOf = (names: readonly string[]) => names.map((name) => told(name, 'answer').at(-1));
	const names = (family: 4 | 6, kind: string) =>
		WANTED.map(({ name }) => name).filter(
			(name) => name.startsWith(kind) && !DIRECT.includes(name) && name.endsWith('v6') === (family === 6),
		);
	const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

	beforeAll(async () => {
		node = new AgentNode('mls');
		execFileSync('ip', ['-n', node.pod, 'address', 'add', `${TWO}/24`, 'dev', 'eth0']);
		await serve('one', 4, ONE);
		await serve('two', 4, TWO);
		await serve('six', 6);
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		const addresses = [{ type: 'InternalIP', address: node.nodeAddress }];
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		api.always(SERVICES, list('10', [service(5)]));
		const slices = [slice(6, 4, [{ address: ONE }]), slice(7, 6, [{ address: POD_V6 }])];
		api.always(SLICES, list('10', slices));
		await api.listen(node.listenOnNode(API_PORT));
		agent = startAgent();
		await vi.waitFor(() => expect(agent.lines().some((line) => line['msg'] === 'sync.done')).toBe(true), {
			timeout: 40_000,
			interval: 100,
		});
		client = node.start(process.execPath, CHILD, JSON.stringify(WANTED));
		await vi.waitFor(() => expect(answersOf(WANTED.map(({ name }) => name))).not.toContain(undefined), {
			timeout: 10_000,
			interval: 50,
		});
	});

	afterAll(async () => {
		await node?.close();
		await api?.close();
		for (const server of servers) server.close();
	});

	it('leaves TCP alone while the backend terminates', async () => {
		expect(answersOf(names(4, 'tcp'))).toEqual(['one', 'one']);
		const ending = { ready: false, serving: false, terminating: true };
		change(4, { address: ONE, conditions: ending }, { address: TWO });
		await pause(1500);
		expect(names(4, 'tcp').flatMap((name) => told(name, 'error'))).toEqual([]);
		expect(answersOf(names(4, 'tcp'))).toEqual(['one', 'one']);
	});

	it('connected UDP has got ECONNABORTED meanwhile, and reaches the new backend', () => {
		for (const name of names(4, 'udp')) {
			expect(told(name, 'error'), name).toEqual(['ECONNABORTED']);
			expect(told(name, 'answer'), name).toEqual(['one', 'two']);
		}
	});

	it('leaves UDP alone when a backend is away for a moment', async () => {
		change(6);
		await pause(60);
		change(6, { address: POD_V6 });
		await pause(600);
		expect(told('udp v6', 'error')).toEqual([]);
	});

	it('TCP gets ECONNABORTED when the backend is listed no more, and reaches the new one', async () => {
		change(4, { address: TWO });
		await vi.waitFor(() => expect(answersOf(names(4, 'tcp'))).toEqual(['two', 'two']), {
			timeout: 4000,
			interval: 50,
		});
		for (const name of names(4, 'tcp')) expect(told(name, 'error'), name).toEqual(['ECONNABORTED']);
	});

	it('does so with IPv6, where the next connect is refused for want of a backend', async () => {
		change(6);
		await vi.waitFor(
			() => {
				for (const name of ['udp v6', 'tcp v6'])
					expect(told(name, 'error').slice(0, 2), name).toEqual(['ECONNABORTED', 'ECONNREFUSED']);
			},
			{ timeout: 4000, interval: 50 },
		);
		change(6, { address: POD_V6 });
		await vi.waitFor(() => expect(answersOf(['udp v6', 'tcp v6'])).toEqual(['six', 'six']));
	});

	it('never touches a socket that dialled the backend itself', async () => {
		expect(DIRECT.flatMap((name) => told(name, 'error'))).toEqual([]);
		expect(DIRECT.map((name) => told(name, 'answer'))).toEqual([['one'], ['one']]);
	});

	it('counts them', async () => {
		const metrics = await node.curl('http://127.0.0.1:10249/metrics');
		expect(metrics).toContain('maglane_sockets_destroyed_total{protocol="udp"} 3');
		expect(metrics).toContain('maglane_sockets_destroyed_total{protocol="tcp"} 3');
		expect(metrics).toContain('maglane_socket_destroy_failures_total 0');
	});

	it('an agent that is killed meanwhile leaves it to the next one', async () => {
		change(4, { address: ONE });
		await vi.waitFor(() => expect(answersOf(names(4, 'udp'))).toEqual(['one', 'one']), { interval: 20 });
		agent.child.kill('SIGKILL');
		await agent.ended;
		expect(answersOf(names(4, 'tcp'))).toEqual(['two', 'two']);
		const slices = [slice(++version, 4, [{ address: ONE }]), slice(version, 6, [{ address: POD_V6 }])];
		api.always(SLICES, list(String(version), slices));
		agent = startAgent();
		await vi.waitFor(() => expect(answersOf(names(4, 'tcp'))).toEqual(['one', 'one']), {
			timeout: 20_000,
			interval: 50,
		});
		expect(DIRECT.flatMap((name) => told(name, 'error'))).toEqual([]);
	});
});
