/**
 * Pods are routed over a VXLAN that has its own addresses, as flannel builds it. The peer has a
 * strict reverse path filter, so it drops packets with a source other than the tunnel address. Also
 * tests routes that only the stack can use: lightweight tunnels.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, nodePort, type Vantage } from './dataplane/cluster.ts';
import type { Dial, Reply } from './dataplane/commands.ts';
import { NODES, nodeOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
const PROTOS = ['tcp', 'udp'] as const;
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));
const node1 = nodeOf('node1');
const tunnel = (n: number) => ({ v4: `10.244.${n}.0`, v6: `fd00:244:${n}::`, mac: `02:00:00:00:f1:0${n}` });

let cluster: Cluster;
beforeAll(async () => {
	cluster = await Cluster.start('mlpo');
	const { net } = cluster.topology;
	for (const [i, node] of cluster.nodes.entries()) {
		const own = tunnel(i + 1);
		const peer = tunnel(2 - i);
		const { name, v4 } = node.place;
		const other = NODES[1 - i]!;
		net.ip(
			name,
			`link add flannel.1 address ${own.mac} mtu 1450 type vxlan id 1 local ${v4} dev eth0 dstport 8472 nolearning`,
			`address add ${own.v4}/32 dev flannel.1`,
			`address add ${own.v6}/128 dev flannel.1 nodad`,
			'link set flannel.1 up',
			`neigh add ${peer.v4} lladdr ${peer.mac} dev flannel.1 nud permanent`,
			`neigh add ${peer.v6} lladdr ${peer.mac} dev flannel.1 nud permanent`,
			`route del ${other.podsV4}`,
			`route del ${other.podsV6}`,
			`route add ${other.podsV4} via ${peer.v4} dev flannel.1 onlink`,
			`route add ${other.podsV6} via ${peer.v6} dev flannel.1 onlink`,
		);
		net.exec(name, 'bridge', 'fdb', 'append', peer.mac, 'dev', 'flannel.1', 'dst', other.v4);
		node.serve('flannel.1');
		node.follow();
	}
	net.sysctl('node2', {
		'net/ipv4/conf/all/rp_filter': '1',
		'net/ipv4/conf/eth0/rp_filter': '1',
		'net/ipv4/conf/flannel.1/rp_filter': '1',
	});
});
afterAll(() => cluster?.close());

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};
const ask = (vantage: Vantage, proto: (typeof PROTOS)[number], to: Dial): Promise<Reply> =>
	cluster.peer(vantage).call(proto, to);

describe('NodePorts with remote pods over a VXLAN', () => {
	it.each(MATRIX)(
		'have the tunnel’s address for their source ($mode, IP$family)',
		async ({ mode, family }) => {
			use(mode);
			for (const offload of [true, false]) {
				cluster.topology.offloads(offload);
				const to = { address: node1[family], port: nodePort('remote') };
				for (const proto of PROTOS)
					expect(await ask('client', proto, to)).toMatchObject({
						...{ name: 'pod2a', seenAddress: tunnel(1)[family] },
						...{ peerAddress: to.address, peerPort: to.port },
					});
			}
		},
	);

	it.each(MATRIX)('move 5 MB each way ($mode, IP$family)', async ({ mode, family }) => {
		use(mode);
		cluster.topology.offloads(false);
		const to = { address: node1[family], port: nodePort('remote'), size: 5_000_000 };
		const result = await cluster.peer('client').call('bulk', to);
		expect(result.uploaded).toBe(result.sent);
		expect(result.downloaded).toBe(result.sent);
	});

	it.each(MODES)('take datagrams that fit the client’s link and not the tunnel by %s', async (mode) => {
		use(mode);
		cluster.topology.net.sysctl('client', { 'net/ipv4/ip_no_pmtu_disc': '1' });
		try {
			for (const size of [1472, 4000]) {
				const to = { address: node1.v4, port: nodePort('remote'), size };
				expect(await ask('client', 'udp', to)).toMatchObject({ name: 'pod2a' });
			}
		} finally {
			cluster.topology.net.sysctl('client', { 'net/ipv4/ip_no_pmtu_disc': '0' });
		}
	});

	it.each(MODES)('keep the client’s address where the pod is here by %s', async (mode) => {
		use(mode);
		for (const family of FAMILIES)
			for (const proto of PROTOS)
				expect(await ask('client', proto, { address: node1[family], port: nodePort('local') })).toMatchObject(
					{
						name: 'pod1a',
					},
				);
	});
});

describe('routes with a lightweight tunnel', () => {
	beforeAll(() => {
		const { net } = cluster.topology;
		net.sysctl('node2', { 'net/ipv4/conf/all/rp_filter': '0', 'net/ipv4/conf/eth0/rp_filter': '0' });
		for (const [i, { name, v4 }] of NODES.entries()) {
			const other = NODES[1 - i]!;
			net.ip(
				name,
				`link add lwt0 address ${tunnel(i + 1).mac} mtu 1400 type vxlan external dstport 8473`,
				'link set lwt0 up',
				`route del ${other.podsV4}`,
				`route del ${other.podsV6}`,
				`route add ${other.podsV4} encap ip id 42 dst ${other.v4} src ${v4} via ${tunnel(2 - i).v4} dev lwt0 onlink`,
				`route add ${other.podsV6} encap ip id 42 dst ${other.v4} src ${v4} via ${tunnel(2 - i).v6} dev lwt0 onlink`,
				`neigh replace ${tunnel(2 - i).v4} lladdr ${tunnel(2 - i).mac} dev lwt0 nud permanent`,
				`neigh replace ${tunnel(2 - i).v6} lladdr ${tunnel(2 - i).mac} dev lwt0 nud permanent`,
			);
		}
		for (const node of cluster.nodes) node.follow();
	});

	it.each(MATRIX)('are gone by the stack ($mode, IP$family)', async ({ mode, family }) => {
		use(mode);
		for (const offload of [true, false]) {
			cluster.topology.offloads(offload);
			const to = { address: node1[family], port: nodePort('remote') };
			for (const proto of PROTOS)
				expect(await ask('client', proto, to)).toMatchObject({
					...{ name: 'pod2a', seenAddress: node1[family] },
					...{ peerAddress: to.address, peerPort: to.port },
				});
		}
	});
});
