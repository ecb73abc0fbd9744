/**
 * Tests checksums on the wire that a device left incomplete: a sender behind a veth with offload,
 * or GRO, which merges segments. The egress device completes them in software, as for hardware
 * without offload.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { packet } from '../packet/builder.ts';
import { sendFrames } from '../packet/wire.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, clusterIp, nodePort, SERVICE_PORT } from './dataplane/cluster.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
const node1 = nodeOf('node1');
let cluster: Cluster;
const native = openNative('koffi');
const switcher = new NetnsSwitcher();

beforeAll(async () => {
	cluster = await Cluster.start('mlpo');
	const { net } = cluster.topology;
	cluster.topology.offloads(true);
	// node1 completes the checksums of packets that leave through these devices
	for (const dev of ['eth0', podOf('pod1b').device]) net.exec('node1', 'ethtool', '-K', dev, 'tx', 'off');
});
afterAll(async () => {
	await cluster?.close();
	switcher[Symbol.dispose]();
});

/** Checks the refusal of a connection and of a datagram on the wire. */
async function expectRefused(
	vantage: 'client' | 'bypass1b',
	seen: { ns: string; dev: string },
	to: { address: string; port: number },
): Promise<void> {
	const { net } = cluster.topology;
	const filter = `tcp port ${to.port} or icmp or icmp6`;
	await using capture = await Capture.start(net.path(seen.ns), seen.dev, filter);
	const peer = cluster.peer(vantage);
	await expect(peer.call('tcp', to)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
	const reset = await capture.find(({ tcp, ip }) => ip?.src === to.address && tcp?.flags === 'RA');
	expect(reset.faults).toEqual([]);
	const udp = { ...to, connected: true, timeout: 3000 };
	await expect(peer.call('udp', udp)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
	const unreachable = await capture.find(({ ip, icmp }) => ip?.src === to.address && icmp !== undefined);
	expect(unreachable.faults).toEqual([]);
}

describe('a refusal of what came with an unfinished checksum', () => {
	it.each(FAMILIES)('has a right one on the wire (NodePort, IP%s)', (family) =>
		expectRefused(
			'client',
			{ ns: 'client', dev: 'node1' },
			{ address: node1[family], port: nodePort('none') },
		),
	);

	it.each(FAMILIES)('has a right one on the wire (ClusterIP from a pod, IP%s)', (family) =>
		expectRefused(
			'bypass1b',
			{ ns: 'pod1b', dev: 'eth0' },
			{ address: clusterIp('none', family), port: SERVICE_PORT },
		),
	);
});

describe('segments that GRO has put together', () => {
	beforeAll(() => {
		const { net } = cluster.topology;
		net.exec('node1', 'ethtool', '-K', 'eth0', 'gro', 'on');
		// a veth treats packets from a peer with TSO as merged already
		net.exec('client', 'ethtool', '-K', 'node1', 'tx', 'off', 'tso', 'off');
		// GRO merges two frames however the CPU is shared
		net.exec(
			'node1',
			'sh',
			'-c',
			'mkdir /run/sys && mount -t sysfs none /run/sys && echo 20000000 >/run/sys/class/net/eth0/gro_flush_timeout; umount /run/sys; rmdir /run/sys',
		);
	});

	it.each(FAMILIES)('are refused by one reset with a right checksum (IP%s)', async (family) => {
		const { net } = cluster.topology;
		const [node] = cluster.nodes;
		const [src, dst, dport] = [CLIENT[family], node1[family], nodePort('none')];
		await using capture = await Capture.start(net.path('client'), 'node1', `tcp port ${dport}`);
		const macOf = (ns: string, dev: string): string =>
			JSON.parse(net.exec(ns, 'ip', '-j', 'link', 'show', dev))[0].address;
		const eth = packet().eth({ src: macOf('client', 'br0'), dst: macOf('node1', 'eth0') });
		const ip = family === 'v4' ? eth.ipv4({ src, dst, dontFragment: true }) : eth.ipv6({ src, dst });
		const segment = (seq: number) =>
			ip
				.tcp({ sport: 4321, dport, flags: 'A', seq, ack: 77 })
				.payload(new Uint8Array(1000).fill(seq & 255))
				.bytes();
		const before = node.counter(Reason.REJECT_NO_BACKEND);
		const ifindex = net.ifindex('client', 'node1');
		switcher.within(net.name('client'), () =>
			sendFrames(native, ifindex, [segment(5), segment(1005), segment(2005)]),
		);
		const reset = await capture.find(({ ip, tcp }) => ip?.src === dst && tcp?.dport === 4321);
		expect(reset.tcp).toMatchObject({ flags: 'R', seq: 77 });
		expect(reset.faults).toEqual([]);
		expect(node.counter(Reason.REJECT_NO_BACKEND)).toBe(before + 1);
	});
});
