/** Sends fragments out of order, as raw frames: every order on every path through a node. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { packet } from '../packet/builder.ts';
import { fragments } from '../packet/fragments.ts';
import { sendFrames } from '../packet/wire.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, clusterIp, nodePort, SERVICE_PORT, TARGET_PORT } from './dataplane/cluster.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));
const node1 = nodeOf('node1');
/** Orders of three fragments, the first one is 0. In the first two orders none precedes it. */
const ORDERS = [
	[0, 1, 2],
	[0, 2, 1],
	[1, 0, 2],
	[2, 0, 1],
	[1, 2, 0],
	[2, 1, 0],
] as const;
const OVERTAKING = 4;
const SIZE = 3000;
/** Bytes of transport payload in one fragment. */
const CUT = 1208;

interface Way {
	src: string;
	dst: string;
	dport: number;
	/** Namespace and device of the sender, and the device where the answers arrive. */
	from: { ns: string; dev: string; seen: string };
	/** Namespace and device of the next hop. */
	to: { ns: string; dev: string };
}

let cluster: Cluster;
const native = openNative('koffi');
const switcher = new NetnsSwitcher();
beforeAll(async () => {
	cluster = await Cluster.start('mlpg');
});
afterAll(async () => {
	await cluster?.close();
	switcher[Symbol.dispose]();
});

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};
const macOf = (ns: string, dev: string): string => {
	const [link] = JSON.parse(cluster.topology.net.exec(ns, 'ip', '-j', 'link', 'show', dev));
	return link.address;
};
const send = (ns: string, dev: string, frames: readonly Uint8Array[]) => {
	const { net } = cluster.topology;
	const ifindex = net.ifindex(ns, dev);
	switcher.within(net.name(ns), () => sendFrames(native, ifindex, frames));
};

let nextPort = 20_000;

/** Sends one datagram in each order. The pod must receive each one complete and answer it. */
async function expectAnswers(way: Way, name: string): Promise<void> {
	const { src, dst, dport, from, to } = way;
	await using capture = await Capture.start(cluster.topology.net.path(from.ns), from.seen, `port ${dport}`);
	const macs = { src: macOf(from.ns, from.seen), dst: macOf(to.ns, to.dev) };
	for (const order of ORDERS) {
		const sport = nextPort++;
		const payload = new Uint8Array(SIZE).map((_, i) => i * 7 + sport);
		const whole = packet().eth(macs).ip({ src, dst }).udp({ sport, dport }).payload(payload).bytes();
		const cut = fragments(whole, CUT, sport);
		send(
			from.ns,
			from.dev,
			order.map((i) => cut[i]!),
		);
		const answer = await capture.find(({ ip, udp }) => ip?.src === dst && udp?.dport === sport);
		expect(answer.ip).toMatchObject({ src: dst, dst: src });
		const [answerer, , , size] = new TextDecoder().decode(answer.payload).split(' ');
		expect([answerer, size], `order ${order.join()}`).toEqual([name, `${SIZE}`]);
	}
}

const outside = (family: FamilyName, dport: number): Way => ({
	src: CLIENT[family],
	dst: node1[family],
	dport,
	from: { ns: 'client', dev: 'node1', seen: 'br0' },
	to: { ns: 'node1', dev: 'eth0' },
});

describe('fragments in any order', () => {
	it.each(MATRIX)(
		'$mode IP$family from outside reach a local backend whole (F-20, F R-2)',
		async ({ mode, family }) => {
			use(mode);
			const [node] = cluster.nodes;
			const before = node.counter(Reason.FRAGMENT_HELD);
			await expectAnswers(outside(family, nodePort('local')), 'pod1a');
			expect(node.counter(Reason.FRAGMENT_HELD)).toBeGreaterThanOrEqual(before + OVERTAKING);
		},
	);

	it.each(MATRIX)(
		'$mode IP$family from outside reach a remote backend whole (F-20, F R-2)',
		async ({ mode, family }) => {
			use(mode);
			await expectAnswers(outside(family, nodePort('remote')), 'pod2a');
		},
	);

	it.each(MATRIX)(
		'$mode IP$family to a port of the node that is no Service’s reach it whole (F-20, F R-6)',
		async ({ mode, family }) => {
			use(mode);
			const port = 9000 + MATRIX.findIndex((one) => one.mode === mode && one.family === family);
			await cluster.peer('host').call('serveUdp', { name: 'host', address: node1[family], port });
			await expectAnswers(outside(family, port), 'host');
		},
	);

	it.each(FAMILIES)('IP%s of a pod reach the backends of a ClusterIP whole (F-20, F R-2)', async (family) => {
		for (const [service, name] of [
			['local', 'pod1a'],
			['remote', 'pod2a'],
		] as const) {
			const pod = podOf('pod1b');
			const way: Way = {
				src: pod[family],
				dst: clusterIp(service, family),
				dport: SERVICE_PORT,
				from: { ns: 'pod1b', dev: 'eth0', seen: 'eth0' },
				to: { ns: 'node1', dev: pod.device },
			};
			await expectAnswers(way, name);
		}
	});

	it.each(MATRIX)(
		'$mode IP$family of a remote backend’s reply reach the client whole, from the frontend (F-20, F R-2)',
		async ({ mode, family }) => {
			use(mode);
			const { net } = cluster.topology;
			await using capture = await Capture.start(net.path('client'), 'br0', 'udp or (ip6 proto 44)');
			const peer = cluster.peer('client');
			for (const order of ORDERS) {
				const localPort = nextPort++;
				const to = { address: node1[family], port: nodePort('remote'), localPort };
				const { handle, reply } = await peer.call('udpOpen', to);
				const backend = podOf('pod2a')[family];
				const macs = { src: macOf('node2', 'eth0'), dst: macOf('node1', 'eth0') };
				const whole = packet()
					.eth(macs)
					.ip({ src: backend, dst: node1[family] })
					.udp({ sport: TARGET_PORT, dport: reply.seenPort })
					.payload(`late 10.0.0.1 1 ${'x'.repeat(SIZE)}`)
					.bytes();
				const cut = fragments(whole, CUT, localPort);
				const answer = peer.call('udpHear', { handle });
				send(
					'client',
					'node1',
					order.map((i) => cut[i]!),
				);
				expect(await answer).toMatchObject({
					name: 'late',
					peerAddress: node1[family],
					peerPort: nodePort('remote'),
				});
			}
			// no fragment reached the client untranslated
			const untranslated = capture
				.frames()
				.filter(({ ip, eth }) => ip?.src === podOf('pod2a')[family] && eth?.dst === macOf('client', 'br0'));
			expect(untranslated).toEqual([]);
		},
	);
});
