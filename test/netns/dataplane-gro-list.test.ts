/**
 * Tests datagrams that GRO chains unchanged (SKB_GSO_FRAGLIST). All of them must reach a local
 * backend translated and with their boundaries. A pull of more than the headers would split the
 * list at the wrong place.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { packet } from '../packet/builder.ts';
import { sendFrames } from '../packet/wire.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, nodePort, TARGET_PORT } from './dataplane/cluster.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
const COUNT = 12;
let cluster: Cluster;
const native = openNative('koffi');
const switcher = new NetnsSwitcher();

beforeAll(async () => {
	cluster = await Cluster.start('mlpl');
	const { net } = cluster.topology;
	net.exec('node1', 'ethtool', '-K', 'eth0', 'gro', 'on', 'rx-gro-list', 'on');
	// the list leaves through the device of the pod as single datagrams
	net.exec('node1', 'ethtool', '-K', podOf('pod1a').device, 'gso', 'off', 'tx-gso-list', 'off');
	net.exec('client', 'ethtool', '-K', 'node1', 'tx', 'off', 'tso', 'off');
	net.exec(
		'node1',
		'sh',
		'-c',
		'mkdir /run/sys && mount -t sysfs none /run/sys && echo 20000000 >/run/sys/class/net/eth0/gro_flush_timeout; umount /run/sys; rmdir /run/sys',
	);
});
afterAll(async () => {
	await cluster?.close();
	switcher[Symbol.dispose]();
});

describe('datagrams that GRO has listed', () => {
	it.each([20, 40, 200, 1200].flatMap((size) => FAMILIES.map((family) => ({ size, family }))))(
		'of $size bytes reach the backend each as it was (IP$family)',
		async ({ size, family }) => {
			const { net } = cluster.topology;
			const [node] = cluster.nodes;
			const macOf = (ns: string, dev: string): string =>
				JSON.parse(net.exec(ns, 'ip', '-j', 'link', 'show', dev))[0].address;
			const [src, dst, dport] = [CLIENT[family], nodeOf('node1')[family], nodePort('local')];
			const eth = packet().eth({ src: macOf('client', 'br0'), dst: macOf('node1', 'eth0') });
			const ip = family === 'v4' ? eth.ipv4({ src, dst, dontFragment: true }) : eth.ipv6({ src, dst });
			const payloads = Array.from({ length: COUNT }, (_, i) => new Uint8Array(size).fill(i + 1));
			const frames = payloads.map((payload) => ip.udp({ sport: 4444, dport }).payload(payload).bytes());
			await using capture = await Capture.start(net.path('pod1a'), 'eth0', `udp dst port ${TARGET_PORT}`);
			const before = node.counter(Reason.TO_LOCAL);
			const ifindex = net.ifindex('client', 'node1');
			switcher.within(net.name('client'), () => sendFrames(native, ifindex, frames));
			await capture.find(({ payload }) => payload[0] === COUNT);
			const seen = capture.frames().filter(({ ip }) => ip?.dst === podOf('pod1a')[family]);
			expect(seen.flatMap(({ faults }) => faults)).toEqual([]);
			expect(seen.map(({ payload }) => Buffer.from(payload).toString('hex'))).toEqual(
				payloads.map((payload) => Buffer.from(payload).toString('hex')),
			);
			expect(node.counter(Reason.TO_LOCAL) - before, 'nothing was put together').toBeLessThan(COUNT);
		},
	);
});
