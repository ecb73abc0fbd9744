/** The objects that the agents of both nodes watch. */
import { NODES, type NodePlace, podOf } from '../../netns/dataplane/topology.ts';
import { FakeApiServer, list, object, raw } from '../../unit/kube-fake-server.ts';
import type { Family } from './spec.ts';

export const TARGET_PORT = 8080;
export const SERVICE_PORT = 80;
export const HEALTH_PORT = 32_080;
const CLOSED_PORT = 8081;

interface Shape {
	readonly number: number;
	readonly pods: readonly string[];
	readonly target?: number;
	/** Its slices name no node, like manual and mirrored ones. */
	readonly unnamed?: boolean;
	readonly policy?: 'Local';
}

/** Services, named after the place of their backends relative to node1. */
export const SERVICES = {
	local: { number: 1, pods: ['pod1a'] },
	remote: { number: 2, pods: ['pod2a'] },
	none: { number: 3, pods: [] },
	/** A backend without a listening process on the port. */
	closedLocal: { number: 4, pods: ['pod1a'], target: CLOSED_PORT },
	closedRemote: { number: 5, pods: ['pod2a'], target: CLOSED_PORT },
	unnamed: { number: 6, pods: ['pod1a'], unnamed: true },
	policyLocal: { number: 7, pods: ['pod1a'], policy: 'Local' },
} as const satisfies Record<string, Shape>;
export type ServiceName = keyof typeof SERVICES;

const last = (service: ServiceName) => 10 + SERVICES[service].number;
export const nodePort = (service: ServiceName): number => 30_080 + SERVICES[service].number;
export const clusterIp = (service: ServiceName, family: Family): string =>
	family === 'v4' ? `10.96.0.${last(service)}` : `fd00:10:96::${last(service)}`;
export const balancer = (service: ServiceName, family: Family): string =>
	family === 'v4' ? `198.51.100.${last(service)}` : `fd00:100::${last(service)}`;

const PROTOCOLS = ['TCP', 'UDP'] as const;

function service(name: ServiceName): object {
	const { policy }: Shape = SERVICES[name];
	const ports = PROTOCOLS.map((protocol) => ({
		name: protocol.toLowerCase(),
		port: SERVICE_PORT,
		protocol,
		nodePort: nodePort(name),
	}));
	const both = (of: typeof clusterIp) => [of(name, 'v4'), of(name, 'v6')];
	const local = policy && { externalTrafficPolicy: policy, healthCheckNodePort: HEALTH_PORT };
	return object(name.toLowerCase(), 5, {
		spec: { type: 'LoadBalancer', clusterIPs: both(clusterIp), ports, ...local },
		status: { loadBalancer: { ingress: both(balancer).map((ip) => ({ ip })) } },
	});
}

function slice(name: ServiceName, family: Family): object {
	const { pods, target = TARGET_PORT, unnamed = false }: Shape = SERVICES[name];
	const { metadata } = object(`${name.toLowerCase()}-${family}`, 6);
	return {
		metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name.toLowerCase() } },
		addressType: family === 'v4' ? 'IPv4' : 'IPv6',
		ports: PROTOCOLS.map((protocol) => ({ name: protocol.toLowerCase(), port: target, protocol })),
		endpoints: pods.map((pod) => ({
			addresses: [podOf(pod)[family]],
			conditions: { ready: true },
			...(!unnamed && { nodeName: podOf(pod).node }),
		})),
	};
}

/** An API server for the agent of one node. */
export function apiServer({ name, v4, v6 }: NodePlace): FakeApiServer {
	const api = new FakeApiServer();
	const resources = (resource: string) => raw(JSON.stringify({ resources: [{ name: resource }] }));
	api.always('/apis/discovery.k8s.io/v1', resources('endpointslices'));
	api.always('/apis/networking.k8s.io/v1', resources('servicecidrs'));
	const cidrs = ['10.96.0.0/16', 'fd00:10:96::/112'];
	const ranges = object('kubernetes', 3, { spec: { cidrs } });
	api.always('/apis/networking.k8s.io/v1/servicecidrs', list('3', [ranges]));
	const addresses = [v4, v6].map((address) => ({ type: 'InternalIP', address }));
	const metadata = { name, uid: name, resourceVersion: '1' };
	api.always('/api/v1/nodes', list('1', [{ metadata, status: { addresses } }]));
	const names = Object.keys(SERVICES) as ServiceName[];
	api.always('/api/v1/services', list('10', names.map(service)));
	const slices = names.flatMap((one) => [slice(one, 'v4'), slice(one, 'v6')]);
	api.always('/apis/discovery.k8s.io/v1/endpointslices', list('10', slices));
	return api;
}

export const places = NODES;
