/**
 * Devices without a link layer: clients reach a node by a tun device, a backend is behind one, and
 * a pod has one.
 *
 *     vpn: tun0 === node1: tun0
 *     client --- node1: eth0 --- node2 --- pod2a
 *     tunpod: eth0 === node1: vtun
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrontendScope } from '../../agent/abi/layout.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, clusterIp, SERVICE_PORT, TARGET_PORT } from './dataplane/cluster.ts';
import { Peer } from './dataplane/remote.ts';
import { nodeOf, podOf } from './dataplane/topology.ts';
import { TunPair } from './dataplane/tun.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
type Addresses = Readonly<Record<FamilyName, string>>;
const NODE = { v4: '10.99.0.1', v6: 'fd00:99::1' } as const;
const VPN = { v4: '10.99.0.2', v6: 'fd00:99::2' } as const;
const POD = { v4: '10.244.1.77', v6: 'fd00:244:1::77' } as const;
const PORTS = { local: 30_201, remote: 30_202, none: 30_203, vpn: 30_204, tunpod: 30_205 } as const;

let cluster: Cluster;
const tuns: TunPair[] = [];
const peers = new Map<'vpn' | 'tunpod', Peer>();

/** Connects a new namespace and node1 by a pair of tun devices. */
async function join(ns: 'vpn' | 'tunpod', dev: string, far: string, own: Addresses, other: Addresses) {
	const { net } = cluster.topology;
	net.add(ns);
	tuns.push(await TunPair.start({ netns: net.path(ns), dev: far }, { netns: net.path('node1'), dev }));
	net.ip(
		ns,
		`link set ${far} up`,
		`address add ${other.v4}/32 dev ${far}`,
		`address add ${other.v6}/128 dev ${far} nodad`,
	);
	net.ip(ns, `route add default dev ${far}`, `route add ::/0 dev ${far}`);
	net.ip(
		'node1',
		`link set ${dev} up`,
		`route add ${other.v4} dev ${dev}`,
		`route add ${other.v6} dev ${dev}`,
	);
	if (ns === 'vpn')
		net.ip('node1', `address add ${own.v4}/32 dev ${dev}`, `address add ${own.v6}/128 dev ${dev} nodad`);
	const peer = new Peer(net.path(ns));
	peers.set(ns, peer);
	for (const address of [other.v4, other.v6]) {
		await peer.call('serveTcp', { name: ns, address, port: TARGET_PORT });
		await peer.call('serveUdp', { name: ns, address, port: TARGET_PORT });
	}
}

beforeAll(async () => {
	cluster = await Cluster.start('mlpu');
	const [node] = cluster.nodes;
	await join('vpn', 'tun0', 'tun0', NODE, VPN);
	await join('tunpod', 'vtun', 'eth0', NODE, POD);
	await node.serveL3('tun0');
	await node.serveL3('vtun', 'pod');
	for (const family of FAMILIES)
		for (const proto of ['tcp', 'udp'] as const)
			for (const [name, port] of Object.entries(PORTS)) {
				const backend = {
					local: { address: podOf('pod1a')[family], local: true },
					remote: { address: podOf('pod2a')[family] },
					vpn: { address: VPN[family] },
					tunpod: { address: POD[family], local: true },
				}[name];
				node.services.add({
					proto,
					frontends: [
						{ address: NODE[family], port },
						{ address: nodeOf('node1')[family], port },
						{ address: clusterIp('none', family), port, scope: FrontendScope.INTERNAL },
					],
					backends: backend ? [{ port: TARGET_PORT, ...backend }] : [],
				});
			}
});
afterAll(async () => {
	for (const peer of peers.values()) await peer.close();
	for (const tun of tuns) await tun[Symbol.asyncDispose]();
	await cluster?.close();
});

/** Checks both protocols, and a transfer in both directions. */
async function expectServed(peer: Peer, to: { address: string; port: number }, name: string): Promise<void> {
	const want = { name, peerAddress: to.address, peerPort: to.port };
	expect(await peer.call('tcp', to)).toMatchObject(want);
	expect(await peer.call('udp', to)).toMatchObject(want);
	const bulk = await peer.call('bulk', { ...to, size: 1_000_000 });
	expect([bulk.uploaded, bulk.downloaded]).toEqual([bulk.sent, bulk.sent]);
}

async function expectRefused(peer: Peer, to: { address: string; port: number }): Promise<void> {
	await expect(peer.call('tcp', to)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
	const udp = { ...to, connected: true, timeout: 3000 };
	await expect(peer.call('udp', udp)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
}

const MATRIX = (names: readonly (keyof typeof PORTS)[]) =>
	names.flatMap((service) => FAMILIES.map((family) => ({ service, family })));
const backendOf = { local: 'pod1a', remote: 'pod2a', vpn: 'vpn', tunpod: 'tunpod', none: '' } as const;

describe('a NodePort that is reached by a tun device', () => {
	it.each(MATRIX(['local', 'remote', 'vpn', 'tunpod']))(
		'is served by backend $service over IP$family',
		async ({ service, family }) =>
			expectServed(peers.get('vpn')!, { address: NODE[family], port: PORTS[service] }, backendOf[service]),
	);

	it.each(FAMILIES)('is refused over IP%s when it has no backend', (family) =>
		expectRefused(peers.get('vpn')!, { address: NODE[family], port: PORTS.none }),
	);

	it.each(FAMILIES)('leaves by the Ethernet device with that one’s link layer (IP%s)', async (family) => {
		const { net } = cluster.topology;
		const macOf = (ns: string) => JSON.parse(net.exec(ns, 'ip', '-j', 'link', 'show', 'eth0'))[0].address;
		await using capture = await Capture.start(net.path('node2'), 'eth0', `udp port ${TARGET_PORT}`);
		await peers.get('vpn')!.call('udp', { address: NODE[family], port: PORTS.remote });
		const frame = await capture.find(({ ip }) => ip?.dst === podOf('pod2a')[family]);
		expect(frame.eth).toMatchObject({ src: macOf('node1'), dst: macOf('node2') });
		expect(frame.ip).toMatchObject({ src: nodeOf('node1')[family], ttl: 63 });
		expect(frame.faults).toEqual([]);
	});
});

describe('a backend behind a tun device', () => {
	it.each(['XDP', 'TC'].flatMap((mode) => FAMILIES.map((family) => ({ mode, family }))))(
		'serves a client of an Ethernet device ($mode, IP$family)',
		async ({ mode, family }) => {
			for (const node of cluster.nodes) node.xdp(mode === 'XDP');
			for (const service of ['vpn', 'tunpod'] as const) {
				const to = { address: nodeOf('node1')[family], port: PORTS[service] };
				await expectServed(cluster.peer('client'), to, service);
			}
		},
	);
});

describe('a pod with a tun device', () => {
	const to = (family: FamilyName, service: keyof typeof PORTS) => ({
		address: clusterIp('none', family),
		port: PORTS[service],
	});

	it.each(MATRIX(['local', 'remote', 'vpn', 'tunpod']))(
		'reaches a ClusterIP with backend $service over IP$family',
		({ service, family }) => expectServed(peers.get('tunpod')!, to(family, service), backendOf[service]),
	);

	it.each(FAMILIES)('is refused over IP%s where there is no backend', async (family) => {
		await expectRefused(peers.get('tunpod')!, to(family, 'none'));
		await expectRefused(peers.get('tunpod')!, { address: clusterIp('none', family), port: SERVICE_PORT });
	});
});
