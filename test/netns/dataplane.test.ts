import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import {
	Cluster,
	clusterIp,
	nodePort,
	SERVICE_PORT,
	type ServiceName,
	type Vantage,
} from './dataplane/cluster.ts';
import type { Dial, Reply } from './dataplane/commands.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const node1 = nodeOf('node1');
const MODES = [
	{ mode: 'XDP', offload: 'on' },
	{ mode: 'XDP', offload: 'off' },
	{ mode: 'TC', offload: 'on' },
	{ mode: 'TC', offload: 'off' },
] as const;

let cluster: Cluster;
beforeAll(async () => {
	cluster = await Cluster.start('mlpn');
});
afterAll(() => cluster?.close());

/** TCP, UDP from an unconnected socket, UDP from a connected one. */
const WAYS = ['tcp', 'udp', 'udp connected'] as const;
type Way = (typeof WAYS)[number];
const ask = (vantage: Vantage, way: Way, to: Dial): Promise<Reply> =>
	way === 'tcp'
		? cluster.peer(vantage).call('tcp', to)
		: cluster.peer(vantage).call('udp', { ...to, connected: way === 'udp connected' });

const toClusterIp = (service: ServiceName, family: FamilyName): Dial => ({
	address: clusterIp(service, family),
	port: SERVICE_PORT,
});
const toNodePort = (service: ServiceName, family: FamilyName): Dial => ({
	address: node1[family],
	port: nodePort(service),
});

/**
 * Expects an answer from this pod, which saw this client. The client must see the address that it
 * dialled.
 */
function expectReply(reply: Reply, dialled: Dial, name: string, seenAddress: string): void {
	expect(reply).toMatchObject({ name, seenAddress, peerAddress: dialled.address, peerPort: dialled.port });
}

describe.each(MODES)('outside -> NodePort by $mode, checksum offload $offload', ({ mode, offload }) => {
	beforeAll(() => {
		for (const node of cluster.nodes) node.xdp(mode === 'XDP');
		cluster.topology.offloads(offload === 'on');
	});

	it.each(FAMILIES)('local backend over IP%s keeps the client’s address (F-30)', async (family) => {
		const to = toNodePort('local', family);
		for (const way of WAYS) expectReply(await ask('client', way, to), to, 'pod1a', CLIENT[family]);
	});

	it.each(FAMILIES)('remote backend over IP%s sees the node (F-30)', async (family) => {
		const to = toNodePort('remote', family);
		for (const way of WAYS) {
			const reply = await ask('client', way, to);
			expectReply(reply, to, 'pod2a', node1[family]);
			expect(reply.seenPort).toBeGreaterThanOrEqual(10_260);
		}
	});

	it.each(FAMILIES)('20 MB each way over IP%s arrive as sent (F-46)', async (family) => {
		for (const service of ['local', 'remote'] as const) {
			const to = toNodePort(service, family);
			const result = await cluster.peer('client').call('bulk', { ...to, size: 20_000_000 });
			expect(result.uploaded).toBe(result.sent);
			expect(result.downloaded).toBe(result.sent);
		}
	});

	it.each(FAMILIES)('no backend over IP%s refuses at once (F-44)', async (family) => {
		const to = toNodePort('none', family);
		for (const way of ['tcp', 'udp connected'] as const) await expectRefused('client', way, to);
	});

	it.each(FAMILIES)('one connection over IP%s stays with its backend', async (family) => {
		const to = toNodePort('both', family);
		const peer = cluster.peer('client');
		const { handle, reply } = await peer.call('tcpOpen', to);
		for (let i = 0; i < 5; i++) expect(await peer.call('tcpAgain', { handle })).toEqual(reply);
		await peer.call('tcpClose', { handle });
	});
});

async function expectRefused(vantage: Vantage, way: Way, to: Dial): Promise<void> {
	const start = performance.now();
	await expect(ask(vantage, way, to)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
	// A lost refusal comes after the first retransmission, a second later
	expect(performance.now() - start).toBeLessThan(1000);
}

describe.each([
	{ vantage: 'pod1b', name: 'a pod' },
	{ vantage: 'bypass1b', name: 'a pod that bypasses sockets' },
] as const)('$name', ({ vantage }) => {
	const { v4, v6 } = podOf('pod1b');
	const own = { v4, v6 };
	it.each(FAMILIES)('reaches ClusterIPs over IP%s with its own address', async (family) => {
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const) {
			const to = toClusterIp(service, family);
			for (const way of WAYS) expectReply(await ask(vantage, way, to), to, pod, own[family]);
		}
	});

	it.each(FAMILIES)('reaches NodePorts of its node over IP%s', async (family) => {
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const) {
			const to = toNodePort(service, family);
			for (const way of WAYS) expectReply(await ask(vantage, way, to), to, pod, own[family]);
		}
	});

	it.each(FAMILIES)('reaches a NodePort of another node over IP%s', async (family) => {
		const node2 = nodeOf('node2');
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const) {
			const to = { address: node2[family], port: nodePort(service) };
			// pod1a is not a pod of node2, so it sees node2 as the client
			const seen = service === 'local' ? node2[family] : own[family];
			for (const way of WAYS) expectReply(await ask(vantage, way, to), to, pod, seen);
		}
	});

	it.each(FAMILIES)('is refused at once over IP%s without a backend', async (family) => {
		for (const to of [toClusterIp('none', family), toNodePort('none', family)])
			for (const way of ['tcp', 'udp connected'] as const) await expectRefused(vantage, way, to);
	});

	it.each(FAMILIES)('hears over IP%s that a backend’s port is closed (F-44)', async (family) => {
		for (const way of ['tcp', 'udp connected'] as const)
			await expectRefused(vantage, way, toClusterIp('closed', family));
	});

	it.each(FAMILIES)('moves 20 MB each way over IP%s', async (family) => {
		for (const service of ['local', 'remote'] as const) {
			const to = toClusterIp(service, family);
			const result = await cluster.peer(vantage).call('bulk', { ...to, size: 20_000_000 });
			expect(result.uploaded).toBe(result.sent);
			expect(result.downloaded).toBe(result.sent);
		}
	});
});

describe('hairpin: a pod that is its own backend', () => {
	it.each(FAMILIES)('by packets over IP%s it meets itself as the node (F-15)', async (family) => {
		const to = toClusterIp('local', family);
		for (const way of WAYS) expectReply(await ask('bypass1a', way, to), to, 'pod1a', node1[family]);
		// sends a datagram out of the pod, because sockets leave UDP to TC only after TC saw one
		await ask('pod1a', 'udp', toClusterIp('remote', family));
		for (const way of ['udp', 'udp connected'] as const)
			expectReply(await ask('pod1a', way, to), to, 'pod1a', node1[family]);
	});

	it.each(FAMILIES)('through another node over IP%s it meets that node', async (family) => {
		const node2 = nodeOf('node2');
		const to = { address: node2[family], port: nodePort('local') };
		for (const vantage of ['pod1a', 'bypass1a'] as const)
			for (const way of WAYS) expectReply(await ask(vantage, way, to), to, 'pod1a', node2[family]);
	});

	it.each(FAMILIES)('by sockets over IP%s it meets itself', async (family) => {
		const to = toClusterIp('local', family);
		expectReply(await ask('pod1a', 'tcp', to), to, 'pod1a', podOf('pod1a')[family]);
	});
});

describe('the host', () => {
	it.each(FAMILIES)('reaches ClusterIPs and NodePorts over IP%s as itself (B-08a, B-11)', async (family) => {
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const)
			for (const to of [toClusterIp(service, family), toNodePort(service, family)])
				for (const way of WAYS) expectReply(await ask('host', way, to), to, pod, node1[family]);
	});

	it.each([
		['v4', '127.0.0.1'],
		['v6', '::1'],
	] as const)('reaches NodePorts by %s loopback %s', async (family, address) => {
		for (const [service, pod] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const) {
			const to = { address, port: nodePort(service) };
			for (const way of WAYS) expectReply(await ask('host', way, to), to, pod, node1[family]);
		}
	});

	it.each(FAMILIES)('is refused at once over IP%s without a backend', async (family) => {
		const loopback = { address: family === 'v4' ? '127.0.0.1' : '::1', port: nodePort('none') };
		for (const to of [toClusterIp('none', family), toNodePort('none', family), loopback])
			for (const way of WAYS) await expectRefused('host', way, to);
	});

	it.each(FAMILIES)('keeps what is no Service’s over IP%s as it was', async (family) => {
		const to = { address: podOf('pod1a')[family], port: 8080 };
		for (const way of WAYS) expectReply(await ask('host', way, to), to, 'pod1a', node1[family]);
	});
});

describe('where each kind of traffic is handled', () => {
	it('TCP of a pod costs no packet anything', async () => {
		const [node] = cluster.nodes;
		const reasons = [Reason.TO_LOCAL, Reason.TO_ROUTED, Reason.REPLY_ROUTED];
		const total = () => reasons.reduce<number>((sum, reason) => sum + node.counter(reason), 0);
		const before = { packets: total(), connects: node.counter(Reason.SOCK_CONNECT) };
		await ask('pod1b', 'tcp', toClusterIp('remote', 'v4'));
		expect(total()).toBe(before.packets);
		expect(node.counter(Reason.SOCK_CONNECT)).toBe(before.connects + 1);
	});

	it('outside traffic to a remote backend passes by XDP, but for a packet a second and next hop', async () => {
		const [node] = cluster.nodes;
		node.xdp(true);
		cluster.topology.offloads(false);
		const begin = performance.now();
		const before = node.counter(Reason.PASS_FIB) + node.counter(Reason.PASS_CHECKSUM);
		const moved = node.counter(Reason.TO_REMOTE);
		for (let i = 0; i < 20; i++) await ask('client', 'udp', toNodePort('remote', 'v4'));
		expect(node.counter(Reason.TO_REMOTE)).toBe(moved + 20);
		const seconds = (performance.now() - begin) / 1000;
		const passed = node.counter(Reason.PASS_FIB) + node.counter(Reason.PASS_CHECKSUM) - before;
		expect(passed).toBeLessThanOrEqual(2 * (seconds + 1));
	});
});
