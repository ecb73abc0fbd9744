import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, clusterIp, nodePort, SERVICE_PORT, TARGET_PORT } from './dataplane/cluster.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const node1 = nodeOf('node1');
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));

let cluster: Cluster;
beforeAll(async () => {
	cluster = await Cluster.start('mlpf');
});
afterAll(() => cluster?.close());

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};
const forget = () => {
	for (const node of cluster.nodes) node.forget();
};

describe('a connection whose entries are lost', () => {
	it.each(MATRIX)(
		'from outside goes on with the same backend and port ($mode, IP$family)',
		async ({ mode, family }) => {
			use(mode);
			const peer = cluster.peer('client');
			for (const service of ['local', 'remote', 'both'] as const) {
				const { handle, reply } = await peer.call('tcpOpen', {
					address: node1[family],
					port: nodePort(service),
				});
				for (let i = 0; i < 3; i++) {
					forget();
					expect(await peer.call('tcpAgain', { handle })).toEqual(reply);
				}
				await peer.call('tcpClose', { handle });
			}
		},
	);

	it.each(FAMILIES)('from a pod that bypasses sockets goes on (IP%s)', async (family) => {
		const peer = cluster.peer('bypass1b');
		const { handle, reply } = await peer.call('tcpOpen', {
			address: clusterIp('remote', family),
			port: SERVICE_PORT,
		});
		forget();
		expect(await peer.call('tcpAgain', { handle })).toEqual(reply);
		await peer.call('tcpClose', { handle });
	});
});

describe('one client port', () => {
	it.each(FAMILIES)('reaches the same backend through either node (IP%s)', async (family) => {
		const peer = cluster.peer('client');
		const seen = new Set<string>();
		for (let localPort = 20_000; localPort < 20_020; localPort++) {
			const names = [];
			for (const name of ['node1', 'node2'] as const) {
				const to = { address: nodeOf(name)[family], port: nodePort('both'), localPort };
				names.push((await peer.call('udp', to)).name);
			}
			expect(names[0]).toBe(names[1]);
			seen.add(names[0]!);
		}
		expect([...seen].sort()).toEqual(['pod1a', 'pod2a']);
	});

	it.each(MATRIX)(
		'of two clients at once works for both ($mode, IP$family; F R-4)',
		async ({ mode, family }) => {
			use(mode);
			const second = family === 'v4' ? '192.168.10.101' : 'fd00:10::101';
			const { net } = cluster.topology;
			net.ip(
				'client',
				family === 'v4'
					? `address replace ${second}/24 dev br0`
					: `address replace ${second}/64 dev br0 nodad`,
			);
			const peer = cluster.peer('client');
			const to = { address: node1[family], port: nodePort('remote'), localPort: 23_456 };
			const open = await Promise.all(
				[CLIENT[family], second].map((localAddress) => peer.call('tcpOpen', { ...to, localAddress })),
			);
			expect(open[0]!.reply.seenPort).not.toBe(open[1]!.reply.seenPort);
			for (const { handle, reply } of open) expect(await peer.call('tcpAgain', { handle })).toEqual(reply);
			for (const { handle } of open) await peer.call('tcpClose', { handle });
		},
	);
});

describe('a backend that is taken away', () => {
	/** Adds a Service with two backends at a new port, only in the maps of node1. */
	const add = (family: FamilyName, port: number) => {
		const [node] = cluster.nodes;
		const written = (['tcp', 'udp'] as const).map((proto) => {
			const spec = {
				proto,
				frontends: [{ address: node1[family], port }],
				backends: ['pod1a', 'pod2a'].map((name) => {
					const local = podOf(name).node === 'node1';
					return { address: podOf(name)[family], port: TARGET_PORT, local };
				}),
			};
			return { spec, ...node.services.add(spec) };
		});
		const remove = (name: string) => {
			const gone = name === 'pod1a' ? 0 : 1;
			for (const { spec, serviceId, backendIds } of written) {
				node.services.retarget(spec, serviceId, [backendIds[1 - gone]!]);
				node.services.removeBackend(backendIds[gone]!);
			}
		};
		return remove;
	};

	it.each(MATRIX)(
		'loses UDP at the next datagram, keeps TCP ($mode, IP$family; F R-5, B R-10, B-70)',
		async ({ mode, family }) => {
			use(mode);
			const port = 31_000 + MATRIX.findIndex((one) => one.mode === mode && one.family === family);
			const remove = add(family, port);
			const peer = cluster.peer('client');
			const to = { address: node1[family], port };
			const udp = await peer.call('udpOpen', to);
			let tcp = await peer.call('tcpOpen', to);
			while (tcp.reply.name !== udp.reply.name) {
				await peer.call('tcpClose', { handle: tcp.handle });
				tcp = await peer.call('tcpOpen', to);
			}
			remove(udp.reply.name);
			const moved = await peer.call('udpAgain', { ...to, handle: udp.handle });
			expect(moved.name).not.toBe(udp.reply.name);
			expect(moved).toMatchObject({ peerAddress: to.address, peerPort: port });
			expect(await peer.call('tcpAgain', { handle: tcp.handle })).toEqual(tcp.reply);
			expect((await peer.call('tcp', to)).name).toBe(moved.name);
			await peer.call('tcpClose', { handle: tcp.handle });
		},
	);
});

describe('a path of a smaller MTU behind the node', () => {
	it.each(MATRIX)('is found out through the Service ($mode, IP$family; F-46)', async ({ mode, family }) => {
		use(mode);
		const { net } = cluster.topology;
		const mtu = (value: number) => {
			net.ip('node2', `link set vpod2a mtu ${value}`);
			net.ip('client', 'route flush cache');
		};
		mtu(1320);
		try {
			const to = { address: node1[family], port: nodePort('remote') };
			const result = await cluster.peer('client').call('bulk', { ...to, size: 2_000_000 });
			expect(result.uploaded).toBe(result.sent);
			expect(result.downloaded).toBe(result.sent);
		} finally {
			mtu(1500);
		}
	});
});
