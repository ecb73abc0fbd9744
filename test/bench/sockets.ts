/**
 * Measures connections, datagrams and bytes through Services, next to the same traffic without a
 * Service.
 */
import {
	clusterIp,
	nodePort,
	SERVICE_PORT,
	type Served,
	type ServiceName,
	startNodes,
	TARGET_PORT,
} from '../netns/dataplane/cluster.ts';
import { nodeOf, PODS, podOf } from '../netns/dataplane/topology.ts';
import type { FamilyName } from '../packet/shape.ts';
import { type Counted, compileLoad, measure, type Place, Servers, type Way } from './load.ts';
import { median } from './median.ts';

/** All routes of a group connect the same two ends. `direct` comes first and uses no Service. */
interface Route {
	how: string;
	hooked?: boolean;
	xdp?: boolean;
	to(family: FamilyName): { address: string; port: number };
}
interface Group {
	name: string;
	from: string;
	routes: readonly [Route, ...Route[]];
}

const pod = (name: string) => (family: FamilyName) => ({ address: podOf(name)[family], port: TARGET_PORT });
const cluster = (service: ServiceName) => (family: FamilyName) => ({
	address: clusterIp(service, family),
	port: SERVICE_PORT,
});
const port = (service: ServiceName) => (family: FamilyName) => ({
	address: nodeOf('node1')[family],
	port: nodePort(service),
});
const loopback = (service: ServiceName) => (family: FamilyName) => ({
	address: family === 'v4' ? '127.0.0.1' : '::1',
	port: nodePort(service),
});

const GROUPS: readonly Group[] = [
	{
		name: 'pod to a pod of another node',
		from: 'pod1b',
		routes: [
			{ how: 'direct', to: pod('pod2a') },
			{ how: 'ClusterIP, socket hooks', hooked: true, to: cluster('remote') },
			{ how: 'ClusterIP, packets (TC)', to: cluster('remote') },
		],
	},
	{
		name: 'host to a pod of its own',
		from: 'node1',
		routes: [
			{ how: 'direct', to: pod('pod1a') },
			{ how: 'ClusterIP', hooked: true, to: cluster('local') },
			{ how: 'NodePort, loopback', hooked: true, to: loopback('local') },
		],
	},
	{
		name: 'outside to a pod of the node',
		from: 'client',
		routes: [
			{ how: 'direct', to: pod('pod1a') },
			{ how: 'NodePort (TC)', to: port('local') },
		],
	},
	{
		name: 'outside to a pod of another node, by this one',
		from: 'client',
		routes: [
			{ how: 'direct', to: pod('pod2a') },
			{ how: 'NodePort (TC)', to: port('remote') },
			{ how: 'NodePort (XDP)', xdp: true, to: port('remote') },
		],
	},
];
const FAMILIES = ['v4', 'v6'] as const;
const WAYS = ['crr', 'rr', 'stream'] as const;

export interface SocketResult {
	group: string;
	how: string;
	family: FamilyName;
	way: Way;
	/**
	 * Medians over the rounds: operations a second, or bits a second for a stream. Latencies in
	 * microseconds.
	 */
	perSecond: number;
	p50: number;
	p99: number;
	/** Ratio to `direct`: of p50, or of the rate for a stream. */
	ratio: number;
}

export interface SocketOptions {
	/** Directory for the compiled program. */
	directory: string;
	rounds: number;
	/** Duration of each measurement. */
	seconds: number;
	prefix?: string;
	progress(round: number): void;
	signal: AbortSignal;
}

export async function measureSockets(options: SocketOptions): Promise<SocketResult[]> {
	const load = await compileLoad(options.directory);
	const served = await startNodes(options.prefix ?? 'mlps');
	try {
		detour(served);
		await using servers = new Servers(load);
		for (const name of ['pod1a', 'pod2a'])
			for (const family of FAMILIES)
				await servers.serve({ netns: served.topology.net.path(name) }, podOf(name)[family], TARGET_PORT);
		return summarize(await sample(served, load, options));
	} finally {
		for (const node of served.nodes) node.close();
		served.topology.close();
	}
}

/**
 * Routes the outside client to the pods of node2 through node1, the path of a NodePort of node1.
 */
function detour({ topology: { net } }: Served): void {
	net.sysctl('node1', { 'net/ipv4/conf/all/send_redirects': '0', 'net/ipv4/conf/eth0/send_redirects': '0' });
	net.sysctl('client', {
		'net/ipv6/conf/all/accept_redirects': '0',
		'net/ipv6/conf/br0/accept_redirects': '0',
	});
	const [node1, pod2a] = [nodeOf('node1'), podOf('pod2a')];
	net.ip('client', `route add ${pod2a.v4} via ${node1.v4}`, `route add ${pod2a.v6} via ${node1.v6}`);
}

interface Case {
	group: Group;
	route: Route;
	family: FamilyName;
	way: Way;
	samples: Counted[];
}

async function sample(served: Served, load: string, options: SocketOptions): Promise<Case[]> {
	const cases = GROUPS.flatMap((group) =>
		FAMILIES.flatMap((family) =>
			WAYS.flatMap((way) => group.routes.map((route): Case => ({ group, route, family, way, samples: [] }))),
		),
	);
	for (let round = 0; round < options.rounds; round++) {
		options.progress(round);
		for (const { group, route, family, way, samples } of cases) {
			for (const node of served.nodes) {
				node.xdp(route.xdp === true);
				node.forget();
			}
			const place = placeOf(served, group.from, route.hooked === true);
			samples.push(await measure(load, place, { way, to: route.to(family), ...options }));
		}
	}
	return cases;
}

function placeOf({ topology, nodes }: Served, namespace: string, hooked: boolean): Place {
	const name = PODS.find((one) => one.name === namespace)?.node ?? namespace;
	const node = nodes.find(({ place }) => place.name === name);
	return { netns: topology.net.path(namespace), ...(hooked && node ? { cgroup: node.cgroup } : {}) };
}

const rate = ({ way, samples }: Case): number =>
	median(samples.map(({ count, bytes, seconds }) => (way === 'stream' ? bytes * 8 : count) / seconds));

const middle = ({ samples }: Case): number => median(samples.map(({ p50 }) => p50));

function summarize(cases: readonly Case[]): SocketResult[] {
	return cases.map((one): SocketResult => {
		const { group, route, family, way, samples } = one;
		const direct = cases.find(
			(other) => other.route === group.routes[0] && other.family === family && other.way === way,
		)!;
		return {
			group: group.name,
			how: route.how,
			family,
			way,
			perSecond: rate(one),
			p50: middle(one),
			p99: median(samples.map(({ p99 }) => p99)),
			ratio: way === 'stream' ? rate(one) / rate(direct) : middle(one) / middle(direct),
		};
	});
}
