import { child, isJson, type Json } from './read.ts';
import type { EndpointsKind } from './types.ts';

/** Host ports of one pod as objects for the store: a Service outside the API, and its endpoint. */
export interface HostPortObjects {
	/** namespace/name; no API object can have such a name. */
	readonly key: string;
	readonly service: Json;
	/** The pod as endpoint objects, by key: one EndpointSlice for each family, or one Endpoints. */
	readonly sources: readonly (readonly [key: string, object: Json])[];
}

interface HostPort {
	/** Empty: all addresses of the node. */
	readonly ip: string;
	readonly port: number;
	readonly target: number;
	readonly protocol: string;
}

/** hostIPs that mean all addresses of the node. */
const ANY = new Set(['', '0.0.0.0', '::']);
/** Further addresses for processes of the node. */
const LOOPBACK = ['127.0.0.1', '::1'];

/**
 * Objects for the host ports of a pod (ports[].hostPort). A host port forwards (hostIP or all
 * addresses of the node, port, protocol) to the pod, ready or not. A pod with hostNetwork listens
 * on the node itself and needs none. 127.0.0.1 and ::1 serve processes of the node; a pod has a
 * loopback of its own. Without a hostIP, a family in which the pod has no address is omitted.
 *
 * @param addresses of the node
 */
export function hostPortObjects(
	pod: Json,
	addresses: readonly string[],
	kind: EndpointsKind,
): HostPortObjects[] {
	const [spec, status, metadata] = [child(pod, 'spec'), child(pod, 'status'), child(pod, 'metadata')];
	const ended = status['phase'] === 'Succeeded' || status['phase'] === 'Failed';
	const podIps = objects(status, 'podIPs').map(({ ip }) => String(ip));
	if (spec['hostNetwork'] === true || ended || podIps.length === 0) return [];
	const ports = objects(spec, 'containers').flatMap(hostPorts);
	const own = (ip: string) => podIps.some((other) => isIpv6(other) === isIpv6(ip));
	const all = [...addresses, ...LOOPBACK].filter(own);
	// an address of a family that the pod lacks stays with the node's own servers
	const served = ports.filter(({ ip }) => ip === '' || own(ip));
	return [...Map.groupBy(served, ({ ip }) => ip)].map(([ip, group]) => {
		const name = `${metadata['name']}:hostport${ip === '' ? '' : `:${ip}`}`;
		const { namespace, creationTimestamp } = metadata;
		const key = `${namespace}/${name}`;
		const endpoint = { podIps, nodeName: String(spec['nodeName']), ports: group };
		return {
			key,
			service: {
				metadata: { namespace, name, creationTimestamp },
				spec: {
					hostIPs: ip === '' ? all : [ip],
					// The pod sees the client's address
					externalTrafficPolicy: 'Local',
					ports: group.map(({ port, protocol }) => ({ name: nameOf(port, protocol), port, protocol })),
				},
			},
			sources:
				kind === 'endpoints'
					? [[key, endpointsOf(endpoint)]]
					: slicesOf(name, endpoint).map((slice, i) => [`${key}:${i}`, slice]),
		};
	});
}

interface PodEndpoint {
	readonly podIps: readonly string[];
	readonly nodeName: string;
	readonly ports: readonly HostPort[];
}

function slicesOf(service: string, { podIps, nodeName, ports }: PodEndpoint): Json[] {
	return (['IPv4', 'IPv6'] as const).map((addressType) => ({
		metadata: { labels: { 'kubernetes.io/service-name': service } },
		addressType,
		ports: ports.map(targetOf),
		endpoints: podIps
			.filter((ip) => isIpv6(ip) === (addressType === 'IPv6'))
			.map((ip) => ({ addresses: [ip], nodeName, conditions: { ready: true } })),
	}));
}

function endpointsOf({ podIps, nodeName, ports }: PodEndpoint): Json {
	return { subsets: [{ addresses: podIps.map((ip) => ({ ip, nodeName })), ports: ports.map(targetOf) }] };
}

function targetOf({ port, target, protocol }: HostPort): Json {
	return { name: nameOf(port, protocol), port: target, protocol };
}

function hostPorts(container: Json): HostPort[] {
	return objects(container, 'ports').flatMap(({ hostPort, containerPort, hostIP, protocol }) => {
		if (typeof hostPort !== 'number' || hostPort === 0) return [];
		const ip = String(hostIP ?? '');
		const target = Number(containerPort);
		return [{ ip: ANY.has(ip) ? '' : ip, port: hostPort, target, protocol: String(protocol ?? 'TCP') }];
	});
}

const isIpv6 = (ip: string): boolean => ip.includes(':');

function nameOf(port: number, protocol: string): string {
	return `${port}-${protocol.toLowerCase()}`;
}

function objects(json: Json, field: string): Json[] {
	const value = json[field];
	return Array.isArray(value) ? value.filter(isJson) : [];
}
