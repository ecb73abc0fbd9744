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
/** ClusterIP of another Service, which keeps the backend that the first one loses. */
const KEEPER = '10.96.0.11';
const NODE_PORT = 30080;
/** Backend ports by family, because an IPv6 server also accepts IPv4. */
const TARGET = { 4: 8080, 6: 8081 } as const;
const ONE = '10.244.1.2';
const TWO = '10.244.1.3';
const POD_V6 = 'fd00:244:1::2';
const CHILD = resolve(import.meta.dirname, 'sockets-child.ts');

const ports = (port: number, more: object = {}) =>
	['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol, ...more }));

function service(version: number): object {
	const open = ports(80, { nodePort: NODE_PORT });
	const spec = { type: 'NodePort', clusterIP: V4, clusterIPs: [V4, V6], ports: open };
	return object('web', version, { spec });
}

function keeper(version: number): object {
	const spec = { type: 'ClusterIP', clusterIP: KEEPER, clusterIPs: [KEEPER], ports: ports(80) };
	return object('keeper', version, { spec });
}

interface Listed {
	readonly address: string;
	readonly conditions?: object;
}

function slice(version: number, family: 4 | 6, endpoints: readonly Listed[], of = 'web'): object {
	const { metadata } = object(`${of}-v${family}`, version);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': of } },
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
	{ name: 'udp nodeport', kind: 'udp4', address: '127.0.0.1', port: NODE_PORT },
	{ name: 'kept udp', kind: 'udp4', address: KEEPER, port: 80 },
	{ name: 'kept tcp', kind: 'tcp', address: KEEPER, port: 80 },
	{ name: 'udp direct', kind: 'udp4', address: ONE, port: TARGET[4] },
	{ name: 'tcp', kind: 'tcp', address: V4, port: 80 },
	{ name: 'tcp mapped', kind: 'tcp', address: `::ffff:${V4}`, port: 80 },
	{ name: 'tcp v6', kind: 'tcp', address: V6, port: 80 },
	{ name: 'mptcp', kind: 'mptcp', address: V4, port: 80 },
	{ name: 'mptcp v6', kind: 'mptcp', address: V6, port: 80 },
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

	/**
	 * Starts UDP and TCP servers on an address of the pod. They answer every request with the name.
	 */
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

	/** Starts an agent with exactly the capabilities of the DaemonSet. */
	const startAgent = (): RunningAgent =>
		node.startAgentBy(
			['setpriv', '--bounding-set=-all,+bpf,+net_admin,+perfmon', '--inh-caps=-all'],
			`--api-server=http://127.0.0.1:${API_PORT}`,
		);
	const change = (family: 4 | 6, ...endpoints: Listed[]): void => {
		api.push(SLICES, event('MODIFIED', slice(++version, family, endpoints)));
	};
	/** Stops TCP answers of the pod from an address, as if the pod were gone. */
	const silence = (address: string, does: 'add' | 'del' = 'add'): void => {
		const family = address.includes(':') ? '-6' : '-4';
		const rule = ['from', address, 'ipproto', 'tcp', 'blackhole', 'priority', '10'];
		execFileSync('ip', [family, '-n', node.pod, 'rule', does, ...rule]);
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
		api.always(SERVICES, list('10', [service(5), keeper(4)]));
		const slices = [
			slice(6, 4, [{ address: ONE }]),
			slice(7, 6, [{ address: POD_V6 }]),
			slice(8, 4, [{ address: ONE }], 'keeper'),
		];
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

	it('connected UDP reaches the new backend meanwhile, by the same socket', () => {
		for (const name of names(4, 'udp')) {
			expect(told(name, 'error'), name).toEqual([]);
			expect(told(name, 'answer'), name).toEqual(['one', 'two']);
		}
	});

	it('UDP of another Service that still has the backend stays with it (R-A7, R-10)', () => {
		expect(told('kept udp', 'error')).toEqual([]);
		expect(told('kept udp', 'answer')).toEqual(['one']);
	});

	it('leaves UDP alone when a backend is away for a moment', async () => {
		change(6);
		await pause(60);
		change(6, { address: POD_V6 });
		await pause(600);
		expect(told('udp v6', 'error')).not.toContain('ECONNABORTED');
		expect(told('udp v6', 'answer').at(-1)).toBe('six');
	});

	it('leaves TCP alone when the backend is listed no more but answers: a selector that changed', async () => {
		change(4, { address: TWO });
		api.push(SLICES, event('MODIFIED', slice(++version, 4, [{ address: TWO }], 'keeper')));
		await vi.waitFor(() => expect(told('kept udp', 'answer')).toEqual(['one', 'two']), { interval: 50 });
		await pause(2500);
		const all = [...names(4, 'tcp'), 'kept tcp'];
		expect(all.flatMap((name) => told(name, 'error'))).toEqual([]);
		expect(answersOf(all)).toEqual(['one', 'one', 'one']);
	});

	it('leaves TCP alone when its Service is deleted and made again; UDP is refused meanwhile', async () => {
		api.push(SERVICES, event('DELETED', keeper(++version)));
		api.push(SLICES, event('DELETED', slice(++version, 4, [{ address: TWO }], 'keeper')));
		await vi.waitFor(() => expect(told('kept udp', 'error')).toEqual(['ECONNREFUSED']), { timeout: 4000 });
		await pause(1500);
		api.push(SERVICES, event('ADDED', keeper(++version)));
		api.push(SLICES, event('ADDED', slice(++version, 4, [{ address: TWO }], 'keeper')));
		await pause(1500);
		expect([told('kept tcp', 'error'), told('kept tcp', 'answer')]).toEqual([[], ['one']]);
		expect(told('kept udp', 'error')).toEqual(['ECONNREFUSED']);
		expect(told('kept udp', 'answer')).toEqual(['one', 'two', 'two']);
	});

	it('TCP gets ECONNABORTED when the backend answers no more, and reaches the new one', async () => {
		silence(ONE);
		await vi.waitFor(() => expect(answersOf([...names(4, 'tcp'), 'mptcp'])).toEqual(['two', 'two', 'two']), {
			timeout: 12_000,
			interval: 50,
		});
		for (const name of names(4, 'tcp')) expect(told(name, 'error'), name).toEqual(['ECONNABORTED']);
	});

	it('does so with IPv6, where the next connect is refused for want of a backend', async () => {
		silence(POD_V6);
		change(6);
		await vi.waitFor(
			() => {
				expect(told('tcp v6', 'error').slice(0, 2)).toEqual(['ECONNABORTED', 'ECONNREFUSED']);
				expect(told('mptcp v6', 'error')).not.toEqual([]);
			},
			{ timeout: 12_000, interval: 50 },
		);
		silence(POD_V6, 'del');
	});

	it('connected UDP is refused meanwhile for want of a backend, and both are served once there is one', async () => {
		expect(told('udp v6', 'error').at(-1)).toBe('ECONNREFUSED');
		const before = told('udp v6', 'answer').length;
		change(6, { address: POD_V6 });
		await vi.waitFor(() => expect(told('udp v6', 'answer').slice(before)).toEqual(['six']));
		await vi.waitFor(() => expect(answersOf(['tcp v6', 'mptcp v6'])).toEqual(['six', 'six']));
		expect(told('udp v6', 'error')).not.toContain('ECONNABORTED');
	});

	it('never touches a socket that dialled the backend itself', async () => {
		expect(DIRECT.flatMap((name) => told(name, 'error'))).toEqual([]);
		expect(DIRECT.map((name) => told(name, 'answer'))).toEqual([['one'], ['one']]);
	});

	it('counts them', async () => {
		const metrics = await node.curl('http://127.0.0.1:10249/metrics');
		expect(metrics).not.toContain('maglane_sockets_destroyed_total{protocol="udp"}');
		expect(metrics).toContain('maglane_sockets_destroyed_total{protocol="tcp"} 6');
		expect(metrics).toContain('maglane_socket_destroy_failures_total 0');
	});

	it('an agent that is killed meanwhile leaves it to the next one', async () => {
		silence(ONE, 'del');
		change(4, { address: ONE });
		const udp = names(4, 'udp');
		await vi.waitFor(() => expect(answersOf(udp)).toEqual(udp.map(() => 'one')), { interval: 20 });
		agent.child.kill('SIGKILL');
		await agent.ended;
		expect(answersOf(names(4, 'tcp'))).toEqual(['two', 'two']);
		silence(TWO);
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
