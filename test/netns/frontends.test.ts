import { execFileSync } from 'node:child_process';
import dgram from 'node:dgram';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { event, FakeApiServer, list, object, raw } from '../unit/kube-fake-server.ts';
import { AgentNode, type RunningAgent } from './agent-node.ts';

const API_PORT = 6443;
const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const CIDRS = '/apis/networking.k8s.io/v1/servicecidrs';
const ANSWER = 'from the pod';
const PORT = 80;
const NODE_PORT = 30080;
const OTHER_PORT = 8444;
/**
 * Addresses by family: the ClusterIP range, a ClusterIP, an unallocated one, a load balancer, and
 * the client.
 */
const ADDR = {
	v4: {
		cidr: '10.96.0.0/16',
		clusterIp: '10.96.0.10',
		free: '10.96.0.99',
		lb: '203.0.113.10',
		node: '192.168.10.11',
		clients: '192.168.10.0/24',
		pods: '10.244.1.0/24',
		nobody: '192.0.2.0/24',
	},
	v6: {
		cidr: 'fd00:10:96::/112',
		clusterIp: 'fd00:10:96::a',
		free: 'fd00:10:96::99',
		lb: '2001:db8:10::a',
		node: 'fd00:10::11',
		clients: 'fd00:10::/64',
		pods: 'fd00:244:1::/64',
		nobody: '2001:db8:99::/48',
	},
} as const;
const FAMILIES = ['v4', 'v6'] as const;
type Address = keyof (typeof ADDR)['v4'];
const both = (what: Address): string[] => FAMILIES.map((family) => ADDR[family][what]);

/** The Service web. `version` grows with each change. @param ranges allow all clients when empty */
function service(version: number, ranges: readonly string[]): object {
	const ports = ['TCP', 'UDP'].map((protocol) => {
		return { name: protocol.toLowerCase(), port: PORT, protocol, nodePort: NODE_PORT };
	});
	const spec = {
		type: 'LoadBalancer',
		clusterIPs: both('clusterIp'),
		ports,
		...(ranges.length > 0 && { loadBalancerSourceRanges: ranges }),
	};
	return object('web', version, {
		spec,
		status: { loadBalancer: { ingress: both('lb').map((ip) => ({ ip })) } },
	});
}

function slice(version: number, family: 'v4' | 'v6', address: string | undefined): object {
	const { metadata } = object(`web-${family}`, version);
	const ports = ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 8080, protocol }));
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'web' } },
		addressType: family === 'v4' ? 'IPv4' : 'IPv6',
		ports,
		endpoints: address ? [{ addresses: [address], conditions: { ready: true }, nodeName: 'node1' }] : [],
	};
}

describe('frontends, asked from a pod, the node and outside', () => {
	let node: AgentNode;
	let api: FakeApiServer;
	let web: http.Server;
	let agent: RunningAgent;
	let version = 20;

	const set = (ranges: readonly string[]): void =>
		api.push(SERVICES, event('MODIFIED', service(++version, ranges)));
	const endpoints = (there: boolean): void => {
		for (const [family, address] of [
			['v4', node.podAddress],
			['v6', 'fd00:244:1::2'],
		] as const)
			api.push(SLICES, event('MODIFIED', slice(++version, family, there ? address : undefined)));
	};

	/** Sends through the packet programs, because this process is in no cgroup of the node. */
	const ask = (from: string, address: string, port = PORT): Promise<string> => node.ask(from, address, port);

	/**
	 * Sends from a UDP socket that receives errors.
	 * @returns the code of the error, or TIMEOUT without one
	 */
	const askUdp = async (from: string, address: string, port: number): Promise<string> => {
		const family = address.includes(':') ? 6 : 4;
		const socket = dgram.createSocket(family === 4 ? 'udp4' : 'udp6');
		try {
			const fd = node.switcher.bindUdp(from, 0, { family });
			await new Promise<void>((done) => socket.bind({ fd }, done));
			await new Promise<void>((done) => socket.connect(port, address, done));
			return await new Promise((done) => {
				socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
				socket.send('?');
				setTimeout(() => done('TIMEOUT'), 300);
			});
		} finally {
			socket.close();
		}
	};

	/**
	 * Connects from the node's cgroup, in the namespace of the node or the pod.
	 * @returns the body, or the error of curl's exit status
	 */
	const curl = async (where: 'node' | 'pod', address: string, port = PORT): Promise<string> => {
		const host = address.includes(':') ? `[${address}]` : address;
		const enter = where === 'pod' ? ['nsenter', `--net=/run/netns/${node.pod}`] : [];
		const { code, out } = await node.run(
			...enter,
			'curl',
			'-sS',
			'--max-time',
			'0.5',
			`http://${host}:${port}/`,
		);
		return { 0: out, 7: 'ECONNREFUSED', 28: 'TIMEOUT' }[code] ?? `curl ${code}`;
	};

	const ping = (from: string, address: string): boolean => {
		try {
			const size = ['-s', '900', '-c', '2', '-i', '0.1', '-W', '0.3'];
			const out = execFileSync('nsenter', [`--net=/run/netns/${from}`, 'ping', ...size, address], {
				encoding: 'utf8',
			});
			return out.includes('2 received, 0% packet loss');
		} catch {
			return false;
		}
	};

	const counter = async (reason: string): Promise<number> => {
		const metrics = await node.curl('http://127.0.0.1:10249/metrics');
		return Number(
			new RegExp(`maglane_datapath_packets_total\\{reason="${reason}"\\} (\\d+)`).exec(metrics)?.[1],
		);
	};

	const eventually = (check: () => unknown) => vi.waitFor(check, { timeout: 5000, interval: 50 });

	beforeAll(async () => {
		node = new AgentNode('mls-fe');
		for (const family of FAMILIES) {
			const { lb, cidr, node: via } = ADDR[family];
			for (const to of [lb, cidr]) execFileSync('ip', ['-n', node.client, 'route', 'add', to, 'via', via]);
		}
		web = http.createServer((_request, response) => response.end(ANSWER));
		await new Promise<void>((done) => web.listen({ fd: node.listenOnPod(8080) }, done));
		api = new FakeApiServer();
		api.always('/apis/discovery.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'endpointslices' }] })));
		api.always('/apis/networking.k8s.io/v1', raw(JSON.stringify({ resources: [{ name: 'servicecidrs' }] })));
		api.always(CIDRS, list('3', [object('kubernetes', 3, { spec: { cidrs: both('cidr') } })]));
		const addresses = both('node').map((address) => ({ type: 'InternalIP', address }));
		const metadata = { name: 'node1', uid: 'n', resourceVersion: '1' };
		api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
		api.always(SERVICES, list('10', [service(5, both('clients'))]));
		const slices = [slice(6, 'v4', node.podAddress), slice(7, 'v6', 'fd00:244:1::2')];
		api.always(SLICES, list('10', slices));
		await api.listen(node.listenOnNode(API_PORT));
		agent = node.startAgent(`--api-server=http://127.0.0.1:${API_PORT}`, '--answer-echo=on');
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

	describe.each(FAMILIES)('loadBalancerSourceRanges over IP%s', (family) => {
		const { lb, clusterIp, node: nodeIp, clients, pods, nobody } = ADDR[family];

		it('let in the sources that they name, and the node (B-06)', async () => {
			set([` ${clients} `]);
			await eventually(async () => expect(await ask(node.client, lb)).toBe(ANSWER));
			expect(await ask(node.client, nodeIp, NODE_PORT)).toBe(ANSWER);
			expect(await curl('node', lb)).toBe(ANSWER);
			const before = await counter('drop_source_range');
			for (const from of ['packets', 'sockets'])
				expect(await (from === 'packets' ? ask(node.pod, lb) : curl('pod', lb)), from).toBe('TIMEOUT');
			expect(await counter('drop_source_range')).toBeGreaterThan(before);
			expect(await curl('pod', clusterIp)).toBe(ANSWER);
		});

		it('are followed while they change (F-38)', async () => {
			set([nobody]);
			await eventually(async () => expect(await ask(node.client, lb)).toBe('TIMEOUT'));
			expect(await ask(node.client, nodeIp, NODE_PORT)).toBe(ANSWER);
			expect(await curl('node', lb)).toBe(ANSWER);
			set([nobody, pods]);
			await eventually(async () => expect(await ask(node.pod, lb)).toBe(ANSWER));
			expect(await curl('pod', lb)).toBe(ANSWER);
			expect(await ask(node.client, lb)).toBe('TIMEOUT');
			set([]);
			await eventually(async () => expect(await ask(node.client, lb)).toBe(ANSWER));
		});

		it('never shut out, nor let in, by an edit that keeps or leaves out a source (F-38)', async () => {
			set([clients]);
			await eventually(async () => expect(await ask(node.pod, lb)).toBe('TIMEOUT'));
			for (let i = 0; i < 10; i++) {
				set(i % 2 === 0 ? [clients, nobody] : [clients]);
				const [allowed, refused] = await Promise.all([ask(node.client, lb), ask(node.pod, lb)]);
				expect([allowed, refused]).toEqual([ANSWER, 'TIMEOUT']);
			}
		});
	});

	describe.each(FAMILIES)('what no Service has, over IP%s (B R-1)', (family) => {
		const { lb, clusterIp, free, node: nodeIp } = ADDR[family];
		const unknown = 8443;

		it('a port of a ClusterIP is refused at once, to everybody', async () => {
			set([]);
			await eventually(async () => expect(await ask(node.client, clusterIp)).toBe(ANSWER));
			for (const from of [node.client, node.pod]) {
				expect(await ask(from, clusterIp, unknown), from).toBe('ECONNREFUSED');
				expect(await askUdp(from, clusterIp, unknown), from).toBe('ECONNREFUSED');
			}
			for (const where of ['node', 'pod'] as const)
				expect(await curl(where, clusterIp, unknown), where).toBe('ECONNREFUSED');
			expect(await ask(node.client, lb, unknown)).toBe('ECONNREFUSED');
		});

		it('an address in the range of ClusterIPs is dropped, and goes round nowhere', async () => {
			await eventually(async () => expect(await ask(node.client, free)).toBe('TIMEOUT'));
			const before = await counter('drop_no_address');
			expect(await ask(node.client, free)).toBe('TIMEOUT');
			expect(await ask(node.pod, free)).toBe('TIMEOUT');
			// one SYN for each attempt. A loop would give sixty times as many
			const dropped = (await counter('drop_no_address')) - before;
			expect(dropped).toBeGreaterThanOrEqual(2);
			expect(dropped).toBeLessThan(10);
		});

		it("the node's own ports are its own", async () => {
			expect(await ask(node.client, nodeIp, unknown)).toBe('ECONNREFUSED');
			using server = new DisposableStack();
			const other = server.adopt(
				http.createServer((_request, response) => response.end('from the node')),
				(it) => it.close(),
			);
			await new Promise<void>((done) =>
				other.listen({ fd: node.switcher.listenTcp(node.node, OTHER_PORT) }, done),
			);
			expect(await ask(node.client, nodeIp, OTHER_PORT)).toBe('from the node');
		});
	});

	it.each(FAMILIES)(
		'ping of a service address over IP%s is answered while it has a backend (F-52)',
		async (family) => {
			const { clusterIp, lb } = ADDR[family];
			set([]);
			endpoints(true);
			const pings = () => [node.client, node.pod].flatMap((from) => [ping(from, clusterIp), ping(from, lb)]);
			await eventually(() => expect(pings()).toEqual([true, true, true, true]));
			endpoints(false);
			await eventually(() => expect(ping(node.client, clusterIp)).toBe(false));
			expect(ping(node.client, lb)).toBe(false);
			endpoints(true);
			await eventually(() => expect(pings()).toEqual([true, true, true, true]));
		},
	);
});
