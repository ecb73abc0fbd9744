/**
 * A node that clients also reach through a VLAN. On the parent device its frames carry a tag, so
 * the programs there pass them. The VLAN device receives them untagged, and its programs serve
 * them:
 *
 *     client: vlan100 ~~~ tag 100 ~~~ node1: eth0.100          the node's other way, untagged: eth0
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Reason } from '../../agent/abi/layout.ts';
import { openNative } from '../../agent/bpf/ffi/native.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, TARGET_PORT } from './dataplane/cluster.ts';
import { nodeOf, podOf } from './dataplane/topology.ts';
import { addVlan } from './dataplane/vlan.ts';

const FAMILIES = ['v4', 'v6'] as const;
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));
const TAG = 100;
const NODE = { v4: '192.168.100.11', v6: 'fd00:100::11' } as const;
const CLIENT = { v4: '192.168.100.100', v6: 'fd00:100::100' } as const;
const PORTS = { pod1a: 30_101, pod2a: 30_102 } as const;

let cluster: Cluster;
beforeAll(async () => {
	cluster = await Cluster.start('mlpv');
	const { net } = cluster.topology;
	const [node] = cluster.nodes;
	const native = openNative('koffi');
	const of = ({ v4, v6 }: typeof NODE | typeof CLIENT) => ({ tag: TAG, addresses: [`${v4}/24`, `${v6}/64`] });
	const onNode = { ns: 'node1', parent: 'eth0', name: `eth0.${TAG}`, ...of(NODE) };
	addVlan(native, net, onNode, () => node.serve(onNode.name));
	node.follow();
	addVlan(native, net, { ns: 'client', parent: 'node1', name: `vlan${TAG}`, ...of(CLIENT) });
	for (const family of FAMILIES)
		for (const proto of ['tcp', 'udp'] as const)
			for (const [name, port] of Object.entries(PORTS))
				node.services.add({
					proto,
					frontends: [{ address: NODE[family], port }],
					backends: [
						{
							address: podOf(name)[family],
							port: TARGET_PORT,
							local: podOf(name).node === 'node1',
						},
					],
				});
});
afterAll(() => cluster?.close());

describe('a NodePort at an address of a VLAN', () => {
	it.each(MATRIX)(
		'answers from a local and a remote backend ($mode, IP$family; F-30)',
		async ({ mode, family }) => {
			for (const node of cluster.nodes) node.xdp(mode === 'XDP');
			const peer = cluster.peer('client');
			for (const [name, port] of Object.entries(PORTS)) {
				const to = { address: NODE[family], port };
				const seenAddress = name === 'pod1a' ? CLIENT[family] : nodeOf('node1')[family];
				const want = { name, seenAddress, peerAddress: to.address, peerPort: port };
				expect(await peer.call('tcp', to)).toMatchObject(want);
				expect(await peer.call('udp', to)).toMatchObject(want);
				const bulk = await peer.call('bulk', { ...to, size: 2_000_000 });
				expect([bulk.uploaded, bulk.downloaded]).toEqual([bulk.sent, bulk.sent]);
			}
		},
	);

	it.each(MATRIX)('is reached by tagged frames, which the parent passes ($mode, IP$family)', async (one) => {
		const { mode, family } = one;
		const [node] = cluster.nodes;
		node.xdp(mode === 'XDP');
		await using capture = await Capture.start(
			cluster.topology.net.path('node1'),
			'eth0',
			`vlan ${TAG} and udp`,
		);
		const before = { passed: node.counter(Reason.PASS_NOT_IP), served: node.counter(Reason.TO_LOCAL) };
		await cluster.peer('client').call('udp', { address: NODE[family], port: PORTS.pod1a });
		expect((await capture.find(({ udp }) => udp?.dport === PORTS.pod1a)).vlans).toEqual([TAG]);
		expect(node.counter(Reason.PASS_NOT_IP)).toBeGreaterThan(before.passed);
		expect(node.counter(Reason.TO_LOCAL)).toBe(before.served + 1);
	});
});
