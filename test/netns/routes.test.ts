/**
 * Tests endpoints and addresses that are local by routes instead of by the API, and packets that
 * must use the stack.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Reason, ServiceAddressFlag } from '../../agent/abi/layout.ts';
import type { BackendSpec } from '../packet/services.ts';
import { Cluster, nodePort, TARGET_PORT, type Vantage } from './dataplane/cluster.ts';
import type { Dial, Reply } from './dataplane/commands.ts';
import { Peer } from './dataplane/remote.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const PROTOS = ['tcp', 'udp'] as const;
const MODES = ['XDP', 'TC'] as const;
const MATRIX = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));
const node1 = nodeOf('node1');
const node2 = nodeOf('node2');

let cluster: Cluster;
let nextPort = 31_000;
const others: Peer[] = [];
beforeAll(async () => {
	cluster = await Cluster.start('mlpq');
});
afterAll(async () => {
	for (const peer of others) await peer.close();
	await cluster?.close();
});

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};
/** Adds a NodePort of node1 for both protocols. */
function serve(family: FamilyName, backend: BackendSpec): Dial {
	const port = nextPort++;
	const frontends = [{ address: node1[family], port }];
	for (const proto of PROTOS) cluster.nodes[0].services.add({ proto, frontends, backends: [backend] });
	return { address: node1[family], port };
}
const ask = (vantage: Vantage, proto: (typeof PROTOS)[number], to: Dial): Promise<Reply> =>
	cluster.peer(vantage).call(proto, to);
const ip = (ns: string, ...lines: readonly string[]) => cluster.topology.net.ip(ns, ...lines);

describe.each(MODES)('an endpoint without a nodeName by %s', (mode) => {
	beforeAll(() => use(mode));

	it.each(FAMILIES)('that is a pod of this node sees the client over IP%s', async (family) => {
		const to = serve(family, { address: podOf('pod1a')[family], port: TARGET_PORT });
		for (const proto of PROTOS)
			expect(await ask('client', proto, to)).toMatchObject({
				...{ name: 'pod1a', seenAddress: CLIENT[family] },
				...{ peerAddress: to.address, peerPort: to.port },
			});
	});

	it.each(FAMILIES)('that is a pod elsewhere sees the node over IP%s', async (family) => {
		const to = serve(family, { address: podOf('pod2a')[family], port: TARGET_PORT });
		for (const proto of PROTOS)
			expect(await ask('client', proto, to)).toMatchObject({ name: 'pod2a', seenAddress: node1[family] });
	});

	it.each(FAMILIES)('that is the node’s own address sees the client over IP%s', async (family) => {
		const port = 9090 + MODES.indexOf(mode);
		const server = { name: 'node1', address: node1[family], port };
		await cluster.peer('host').call('serveTcp', server);
		await cluster.peer('host').call('serveUdp', server);
		const to = serve(family, { address: node1[family], port });
		for (const proto of PROTOS)
			expect(await ask('client', proto, to)).toMatchObject({
				...{ name: 'node1', seenAddress: CLIENT[family] },
				...{ peerAddress: to.address, peerPort: to.port },
			});
	});
});

describe('a pod of this node with a device of its own (SR-IOV, macvlan)', () => {
	const own = { v4: '192.168.10.50', v6: 'fd00:10::50' };
	beforeAll(async () => {
		const { net } = cluster.topology;
		net.add('vf');
		net.veth({ ns: 'vf', dev: 'eth0' }, { ns: 'client', dev: 'nic0' });
		net.ip('client', 'link set nic0 master br0');
		net.ip('vf', `address add ${own.v4}/24 dev eth0`, `address add ${own.v6}/64 dev eth0 nodad`);
		net.ip('vf', `route add default via ${CLIENT.v4}`, `route add default via ${CLIENT.v6}`);
		const peer = new Peer(net.path('vf'));
		others.push(peer);
		for (const address of Object.values(own))
			for (const serveProto of ['serveTcp', 'serveUdp'] as const)
				await peer.call(serveProto, { name: 'vf', address, port: TARGET_PORT });
	});

	it.each(MATRIX)(
		'answers, though its answers do not pass this node ($mode, IP$family)',
		async ({ mode, family }) => {
			use(mode);
			const to = serve(family, { address: own[family], port: TARGET_PORT, local: true });
			for (const proto of PROTOS)
				expect(await ask('client', proto, to)).toMatchObject({ name: 'vf', seenAddress: node1[family] });
		},
	);
});

describe('an address that is local by route', () => {
	const VIPS = {
		v4: { vip: '192.168.10.201', route: '192.168.10.201/32' },
		v6: { vip: 'fd00:99::201', route: 'fd00:99::/64' },
	};
	const HEALTH = 10_256;
	beforeAll(async () => {
		for (const family of FAMILIES) {
			const { vip, route } = VIPS[family];
			ip('client', `route add ${vip} via ${node1[family]}`);
			const [node] = cluster.nodes;
			const backends = [{ address: podOf('pod1a')[family], port: TARGET_PORT, local: true }];
			for (const proto of PROTOS)
				node.services.add({ proto, frontends: [{ address: vip, port: 80 }], backends });
			node.services.address(vip, ServiceAddressFlag.USABLE_EXTERNAL);
			await expect(ask('client', 'tcp', { address: vip, port: HEALTH })).rejects.toMatchObject({
				code: 'ECONNREFUSED',
			});
			ip('node1', `route add local ${route} dev eth0`);
			node.follow();
			const address = family === 'v4' ? '0.0.0.0' : '::';
			await cluster.peer('host').call('serveTcp', { name: 'health', address, port: HEALTH });
		}
	});

	it.each(MATRIX)(
		'serves its Service and the node’s other ports ($mode, IP$family)',
		async ({ mode, family }) => {
			use(mode);
			const { vip } = VIPS[family];
			for (const proto of PROTOS)
				expect(await ask('client', proto, { address: vip, port: 80 })).toMatchObject({
					...{ name: 'pod1a', seenAddress: CLIENT[family], peerAddress: vip },
				});
			for (const vantage of ['client', 'host', 'pod1b', 'bypass1b'] as const)
				expect(await ask(vantage, 'tcp', { address: vip, port: HEALTH })).toMatchObject({ name: 'health' });
		},
	);
});

describe('a client of 240/4', () => {
	const source = '240.1.2.3';
	beforeAll(() => {
		ip('client', `address add ${source}/32 dev br0`);
		for (const node of ['node1', 'node2']) ip(node, `route add ${source} via ${CLIENT.v4}`);
	});

	it.each(MODES)('is served as others by %s', async (mode) => {
		use(mode);
		for (const proto of PROTOS) {
			const from = (service: 'local' | 'remote') =>
				ask('client', proto, { address: node1.v4, port: nodePort(service), localAddress: source });
			expect(await from('local')).toMatchObject({ name: 'pod1a', seenAddress: source });
			expect(await from('remote')).toMatchObject({ name: 'pod2a', seenAddress: node1.v4 });
		}
	});
});

describe('a datagram that is larger than the way takes, and may be cut up', () => {
	beforeAll(() => {
		cluster.topology.net.sysctl('client', { 'net/ipv4/ip_no_pmtu_disc': '1' });
		ip('node1', `route replace ${node2.podsV4} via ${node2.v4} mtu lock 1280`);
	});
	afterAll(() => {
		cluster.topology.net.sysctl('client', { 'net/ipv4/ip_no_pmtu_disc': '0' });
		ip('node1', `route replace ${node2.podsV4} via ${node2.v4}`);
	});

	it.each(MODES.flatMap((mode) => [1400, 5000].map((size) => ({ mode, size }))))(
		'arrives ($mode, $size bytes)',
		async ({ mode, size }) => {
			use(mode);
			for (const offload of [true, false]) {
				cluster.topology.offloads(offload);
				const to = { address: node1.v4, port: nodePort('remote'), size };
				expect(await ask('client', 'udp', to)).toMatchObject({ name: 'pod2a', seenAddress: node1.v4 });
			}
		},
	);
});

describe('a neighbour that has another MAC address by now', () => {
	const settings = (dev: string, family: FamilyName) => {
		const path = `net/${family === 'v4' ? 'ipv4' : 'ipv6'}/neigh/${dev}`;
		return {
			[`${path}/base_reachable_time_ms`]: '3000',
			[`${path}/delay_first_probe_time`]: '1',
			[`${path}/retrans_time_ms`]: '100',
		};
	};
	const macOf = (ns: string, dev = 'eth0') => {
		const [link] = JSON.parse(cluster.topology.net.exec(ns, 'ip', '-j', 'link', 'show', dev));
		return (link as { address: string }).address;
	};
	afterEach(() => ip('node2', 'neigh flush all nud permanent'));

	it.each(MATRIX)(
		'is found anew while packets flow ($mode, IP$family)',
		{ timeout: 40_000 },
		async ({ mode, family }) => {
			use(mode);
			cluster.topology.offloads(false);
			const { net } = cluster.topology;
			net.sysctl('node1', settings('eth0', family));
			ip('node1', 'neigh flush dev eth0');
			const client = cluster.peer('client');
			const to = { address: node1[family], port: nodePort('remote'), timeout: 250 };
			const { handle } = await client.call('udpOpen', to);
			// the kernel would re-resolve an entry that it is probing, so wait for STALE
			const state = () => ip('node1', `neigh show ${node2[family]} dev eth0`);
			await expect.poll(state, { timeout: 10_000 }).toContain('STALE');
			// permanent entries let node2 send without ARP requests, which would reveal its new MAC
			const known = { [node1[family]]: macOf('node1'), [CLIENT[family]]: macOf('client', 'br0') };
			const keep = Object.entries(known).map(
				([address, mac]) => `neigh replace ${address} lladdr ${mac} dev eth0 nud permanent`,
			);
			const mac = macOf('node2');
			const other = (Number.parseInt(mac.slice(-2), 16) ^ 1).toString(16).padStart(2, '0');
			ip('node2', `link set eth0 address ${mac.slice(0, -2)}${other}`, ...keep);
			await expect(client.call('udpAgain', { ...to, handle })).rejects.toMatchObject({ code: 'ETIMEDOUT' });
			const moved = cluster.nodes[0].counter(Reason.TO_REMOTE);
			await expect
				.poll(() => client.call('udpAgain', { ...to, handle }).catch(() => undefined), { timeout: 20_000 })
				.toMatchObject({ name: 'pod2a' });
			expect(cluster.nodes[0].counter(Reason.TO_REMOTE)).toBeGreaterThan(moved);
		},
	);
});
