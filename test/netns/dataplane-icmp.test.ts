/**
 * ICMP errors end to end. Path MTU discovery (RFC 1191, RFC 8201) through a NodePort has a narrow
 * link at either end of the path:
 *
 *     far ---1300--- client's router --- node1 --- pod1a           narrow towards the client
 *                           \----------- node2 ---1320--- pod2a    narrow towards the backend
 *
 * The test captures the ICMP error at the sender. It must quote a packet that this side sent.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Decoded, decodeIp } from '../packet/decode.ts';
import { Capture } from './dataplane/capture.ts';
import { Cluster, clusterIp, nodePort, SERVICE_PORT, TARGET_PORT } from './dataplane/cluster.ts';
import { Peer } from './dataplane/remote.ts';
import { CLIENT, nodeOf, podOf } from './dataplane/topology.ts';

const FAMILIES = ['v4', 'v6'] as const;
type FamilyName = (typeof FAMILIES)[number];
const MODES = ['XDP', 'TC'] as const;
const BACKENDS = [
	{ service: 'remote', pod: podOf('pod2a') },
	{ service: 'local', pod: podOf('pod1a') },
] as const;
const MATRIX = MODES.flatMap((mode) =>
	BACKENDS.flatMap((backend) => FAMILIES.map((family) => ({ mode, family, ...backend }))),
);
const node1 = nodeOf('node1');
/** A host behind the client's router. */
const FAR = { v4: '192.168.30.100', v6: 'fd00:30::100' } as const;
const NARROW_CLIENT = 1300;
const NARROW_BACKEND = 1320;
const WIDE = 1500;
const ERRORS = 'icmp or icmp6';
/** Type and code of host unreachable, and of address unreachable. */
const UNREACHABLE = { v4: { type: 3, code: 1 }, v6: { type: 1, code: 3 } } as const;
/** Type and code of time exceeded in transit. */
const EXPIRED = { v4: { type: 11, code: 0 }, v6: { type: 3, code: 0 } } as const;

let cluster: Cluster;
let far: Peer;
beforeAll(async () => {
	cluster = await Cluster.start('mlpm');
	const { net } = cluster.topology;
	net.add('far');
	net.veth({ ns: 'far', dev: 'eth0' }, { ns: 'client', dev: 'far' });
	net.ip('far', `address add ${FAR.v4}/24 dev eth0`, `address add ${FAR.v6}/64 dev eth0 nodad`);
	net.ip('client', 'address add 192.168.30.1/24 dev far', 'address add fd00:30::1/64 dev far nodad');
	net.ip('far', 'route add default via 192.168.30.1', 'route add default via fd00:30::1');
	far = new Peer(net.path('far'));
});
afterAll(async () => {
	await far?.close();
	await cluster?.close();
});

const use = (mode: (typeof MODES)[number]) => {
	for (const node of cluster.nodes) node.xdp(mode === 'XDP');
};

/** Sets the MTUs of both narrow links and flushes the route caches of all namespaces. */
function widths(client: number, backend: number): void {
	const { net } = cluster.topology;
	net.ip('client', `link set far mtu ${client}`);
	for (const { pod } of BACKENDS) net.ip(pod.node, `link set ${pod.device} mtu ${backend}`);
	for (const ns of ['client', 'far', 'node1', 'node2', 'pod1a', 'pod2a'])
		for (const family of ['-4', '-6']) net.exec(ns, 'ip', family, 'route', 'flush', 'cache');
}

/**
 * The MTU of fragmentation needed (RFC 792) or packet too big (RFC 4443), undefined for other
 * packets.
 */
function newsOf({ ip, icmp }: Decoded): number | undefined {
	if (!ip || !icmp) return undefined;
	if (ip.version === 4) return icmp.type === 3 && icmp.code === 4 ? icmp.rest & 0xffff : undefined;
	return icmp.type === 2 ? icmp.rest : undefined;
}

/** Source and destination of a packet, formatted for messages. */
function flowOf({ ip, tcp, udp }: Decoded): string {
	const ports = (tcp ?? udp)!;
	return `${ip!.src} ${ports.sport} > ${ip!.dst} ${ports.dport}`;
}

/**
 * Finds the path MTU error of a capture and checks its checksums.
 * @returns its source, destination, MTU and quoted packet
 */
async function news(capture: Capture): Promise<{ from: string; to: string; mtu: number; quotes: string }> {
	const frame = await capture.find((one) => newsOf(one) !== undefined);
	expect(frame.faults).toEqual([]);
	return {
		from: frame.ip!.src,
		to: frame.ip!.dst,
		mtu: newsOf(frame)!,
		quotes: flowOf(decodeIp(frame.payload)),
	};
}

async function expectBulk(family: FamilyName, service: 'remote' | 'local'): Promise<void> {
	const to = { address: node1[family], port: nodePort(service) };
	const result = await far.call('bulk', { ...to, size: 400_000 });
	expect(result.uploaded).toBe(result.sent);
	expect(result.downloaded).toBe(result.sent);
}

describe('path MTU discovery through a NodePort', () => {
	afterAll(() => widths(WIDE, WIDE));

	it.each(MATRIX)(
		'$mode IP$family, $service backend on a narrow path: the client hears it about what it sent (F-30, F-35, F R-3)',
		async ({ mode, family, service, pod }) => {
			use(mode);
			widths(WIDE, NARROW_BACKEND);
			await using capture = await Capture.start(cluster.topology.net.path('far'), 'eth0', ERRORS);
			await expectBulk(family, service);
			const heard = await news(capture);
			expect(heard).toMatchObject({ to: FAR[family], mtu: NARROW_BACKEND });
			expect(heard.quotes).toMatch(
				new RegExp(`^${FAR[family]} \\d+ > ${node1[family]} ${nodePort(service)}$`),
			);
			// the router sends it from its own address
			expect(heard.from).toBe(nodeOf(pod.node)[family]);
		},
	);

	it.each(MATRIX)(
		'$mode IP$family, $service backend, client behind a narrow path: the backend hears it about what it sent (F-46, F-35, F R-3)',
		async ({ mode, family, service, pod }) => {
			use(mode);
			widths(NARROW_CLIENT, WIDE);
			await using capture = await Capture.start(cluster.topology.net.path(pod.name), 'eth0', ERRORS);
			await expectBulk(family, service);
			const heard = await news(capture);
			// a backend that sees the node as the client gets the error from the node's address
			const [client, from] =
				service === 'remote' ? [node1[family], node1[family]] : [FAR[family], CLIENT[family]];
			expect(heard).toMatchObject({ from, to: pod[family], mtu: NARROW_CLIENT });
			expect(heard.quotes).toMatch(new RegExp(`^${pod[family]} ${TARGET_PORT} > ${client} \\d+$`));
		},
	);
});

describe('errors about a flow through a NodePort', () => {
	const outside = MODES.flatMap((mode) => FAMILIES.map((family) => ({ mode, family })));

	it.each(outside)(
		'$mode IP$family: a port of a remote backend where nobody listens is refused at once (F-35, F-44)',
		async ({ mode, family }) => {
			use(mode);
			const to = { address: node1[family], port: nodePort('closed') };
			const peer = cluster.peer('client');
			await expect(peer.call('tcp', to)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
			await expect(peer.call('udp', { ...to, connected: true })).rejects.toMatchObject({
				code: 'ECONNREFUSED',
			});
		},
	);

	it.each(outside)(
		'$mode IP$family: time exceeded on the way to a remote backend reaches the client about what it sent (F-35)',
		async ({ mode, family }) => {
			use(mode);
			await using capture = await Capture.start(cluster.topology.net.path('client'), 'br0', ERRORS);
			const to = { address: node1[family], port: nodePort('remote'), localPort: 23_999, ttl: 2, timeout: 1 };
			await expect(cluster.peer('client').call('udp', to)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
			const { type, code } = EXPIRED[family];
			const frame = await capture.find(
				({ ip, icmp }) => ip?.dst === CLIENT[family] && icmp?.type === type && icmp.code === code,
			);
			expect(frame.faults).toEqual([]);
			expect(frame.ip!.src).toBe(nodeOf('node2')[family]);
			expect(flowOf(decodeIp(frame.payload))).toBe(
				`${CLIENT[family]} 23999 > ${node1[family]} ${nodePort('remote')}`,
			);
		},
	);
});

describe('a backend whose node is gone', () => {
	const links = (state: 'up' | 'down') => cluster.topology.net.ip('client', `link set node2 ${state}`);
	beforeAll(() => {
		const quick = (family: string) => `net/${family}/neigh/eth0/retrans_time_ms`;
		cluster.topology.net.sysctl('node1', { [quick('ipv4')]: '100', [quick('ipv6')]: '100' });
		links('down');
		cluster.topology.net.ip('node1', 'neighbour flush dev eth0');
	});
	afterAll(() => links('up'));

	it.each(FAMILIES)(
		'IP%s: a pod hears from its node that the host is unreachable, as of what it dialled (F-44)',
		async (family) => {
			const to = { address: clusterIp('remote', family), port: SERVICE_PORT };
			await using capture = await Capture.start(cluster.topology.net.path('pod1b'), 'eth0', ERRORS);
			const pod = podOf('pod1b')[family];
			// Linux reports no socket error here, because it treats this ICMP error as transient
			const unheard = expect(
				cluster.peer('bypass1b').call('udp', { ...to, timeout: 1000 }),
			).rejects.toThrow();
			const { type, code } = UNREACHABLE[family];
			const { faults, payload } = await capture.find(
				({ ip, icmp }) => ip?.dst === pod && icmp?.type === type && icmp.code === code,
			);
			await unheard;
			expect(faults).toEqual([]);
			expect(flowOf(decodeIp(payload))).toMatch(new RegExp(`^${pod} \\d+ > ${to.address} ${SERVICE_PORT}$`));
		},
	);
});
