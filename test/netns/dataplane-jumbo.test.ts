/**
 * Tests packets larger than a page, in several XDP buffers, and packets larger than an IP header
 * can express (BIG TCP).
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { packet } from '../packet/builder.ts';
import { sendFrames } from '../packet/wire.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, nodePort, TARGET_PORT } from './dataplane/cluster.ts';
import { CLIENT, nodeOf, PODS, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));
const node1 = nodeOf('node1');
let cluster: Cluster;
const native = openNative('koffi');
const switcher = new NetnsSwitcher();

beforeAll(async () => {
	cluster = await Cluster.start('mlpj');
	const { net } = cluster.topology;
	const mtu = (ns: string, dev: string) => net.ip(ns, `link set ${dev} mtu 9000`);
	for (const { name } of cluster.nodes.map(({ place }) => place)) {
		mtu(name, 'eth0');
		mtu('client', name);
	}
	mtu('client', 'br0');
	for (const { name, node, device } of PODS) {
		mtu(node, device);
		mtu(name, 'eth0');
	}
});
afterAll(async () => {
	await cluster?.close();
	switcher[Symbol.dispose]();
});

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};

/**
 * Sends RTM_NEWLINK with IFLA_GSO_IPV4_MAX_SIZE and IFLA_GRO_IPV4_MAX_SIZE, because iproute2 before
 * 6.3 lacks both.
 */
function allowBigIpv4(ifindex: number, size: number): void {
	const [AF_NETLINK, SOCK_RAW, RTM_NEWLINK, REQUEST_ACK] = [16, 3, 16, 5];
	const message = new Uint8Array(16 + 16 + 16);
	const view = new DataView(message.buffer);
	view.setUint32(0, message.length, true);
	view.setUint16(4, RTM_NEWLINK, true);
	view.setUint16(6, REQUEST_ACK, true);
	view.setInt32(20, ifindex, true);
	for (const [i, type] of [63, 64].entries()) {
		view.setUint16(32 + 8 * i, 8, true);
		view.setUint16(34 + 8 * i, type, true);
		view.setUint32(36 + 8 * i, size, true);
	}
	const fd = native.call.socket(AF_NETLINK, SOCK_RAW, 0);
	native.call.send(fd, message, message.length, 0);
	const answer = new Uint8Array(64);
	native.call.recv(fd, answer, answer.length, 0);
	native.call.close(fd);
	expect(new DataView(answer.buffer).getInt32(16, true), 'errno').toBe(0);
}

describe('an MTU of 9000', () => {
	it.each(MATRIX)('$mode forwards a datagram that fills it, over IP$family', async ({ mode, family }) => {
		use(mode);
		const { net } = cluster.topology;
		const [node] = cluster.nodes;
		const macOf = (ns: string, dev: string): string =>
			JSON.parse(net.exec(ns, 'ip', '-j', 'link', 'show', dev))[0].address;
		const payload = new Uint8Array(8900).map((_, i) => i * 11);
		const [src, dst, dport] = [CLIENT[family], node1[family], nodePort('remote')];
		const frame = packet()
			.eth({ src: macOf('client', 'br0'), dst: macOf('node1', 'eth0') })
			.ip({ src, dst })
			.udp({ sport: 4567, dport })
			.payload(payload)
			.bytes();
		// resolves the neighbours
		await cluster.peer('client').call('udp', { address: dst, port: dport });
		const passed = () => node.counter(Reason.PASS_DEVICE) + node.counter(Reason.PASS_FIB);
		const before = { sent: node.counter(Reason.TO_REMOTE), passed: passed() };
		await using capture = await Capture.start(net.path('pod2a'), 'eth0', `udp port ${TARGET_PORT}`);
		const ifindex = net.ifindex('client', 'node1');
		switcher.within(net.name('client'), () => sendFrames(native, ifindex, [frame]));
		const there = await capture.find(({ payload }) => payload.length === 8900);
		expect(there.faults).toEqual([]);
		expect(Buffer.compare(there.payload, payload)).toBe(0);
		expect(node.counter(Reason.TO_REMOTE)).toBeGreaterThan(before.sent);
		// one packet a second to a next hop goes through TC
		expect(passed() - before.passed).toBeLessThanOrEqual(1);
	});

	it.each(MATRIX)('$mode moves bulk over IP$family', async ({ mode, family }) => {
		use(mode);
		for (const service of ['remote', 'local'] as const) {
			const to = { address: node1[family], port: nodePort(service), size: 3_000_000 };
			const bulk = await cluster.peer('client').call('bulk', to);
			expect([bulk.uploaded, bulk.downloaded]).toEqual([bulk.sent, bulk.sent]);
		}
	});
});

describe('BIG TCP', () => {
	const SIZE = 180_000;
	beforeAll(() => {
		use('TC');
		const { net, offloads } = cluster.topology;
		offloads.call(cluster.topology, true);
		const set = (ns: string, dev: string) => {
			net.ip(ns, `link set ${dev} gso_max_size ${SIZE} gro_max_size ${SIZE}`);
			const ifindex = net.ifindex(ns, dev);
			switcher.within(net.name(ns), () => allowBigIpv4(ifindex, SIZE));
		};
		set('node1', 'eth0');
		set('client', 'node1');
		set('client', 'br0');
		set('node1', podOf('pod1a').device);
		set('pod1a', 'eth0');
	});

	it.each(FAMILIES)('of a local backend is translated over IP%s', async (family) => {
		const { net } = cluster.topology;
		const [node] = cluster.nodes;
		const port = nodePort('local');
		// The forwarding kernel counts the jumbo option, but the sender's segments lack it (Linux 6.18)
		net.ip('client', 'link set br0 mtu 8900');
		net.ip('pod1a', 'link set eth0 mtu 8900');
		const malformed = node.counter(Reason.PASS_MALFORMED);
		await using capture = await Capture.start(
			net.path('client'),
			'node1',
			`${family === 'v4' ? `src port ${port}` : 'ip6'} and greater 66000`,
		);
		const to = { address: node1[family], port, size: 20_000_000 };
		const bulk = await cluster.peer('client').call('bulk', to);
		expect([bulk.uploaded, bulk.downloaded]).toEqual([bulk.sent, bulk.sent]);
		expect(capture.raw().length, 'no packet was big').toBeGreaterThan(0);
		expect(node.counter(Reason.PASS_MALFORMED)).toBe(malformed);
	});
});
