import { child, isJson, type Json } from './read.ts';
import type { EndpointsKind } from './store.ts';

/** What stands in the store for the host ports of one pod: a Service of no API, and the pod as its endpoint. */
export interface HostPortObjects {
	/** namespace/name; the name is none that an object of the API can have. */
	readonly key: string;
	readonly service: Json;
	/** The pod, by key: EndpointSlices of one family each, or Endpoints. */
	readonly sources: readonly (readonly [key: string, object: Json])[];
}

interface HostPort {
	/** Empty: all addresses of the node. */
	readonly ip: string;
	readonly port: number;
	readonly target: number;
	readonly protocol: string;
}

/** Addresses that stand for all of the node. */
const ANY = new Set(['', '0.0.0.0', '::']);

/**
 * The host ports of a pod (ports[].hostPort): (hostIP, or every address of the node, port, protocol) leads to that pod,
 * ready or not. A pod in the node's own network listens there itself.
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
	return [...Map.groupBy(ports, ({ ip }) => ip)].map(([ip, group]) => {
		const name = `${metadata['name']}:hostport${ip === '' ? '' : `:${ip}`}`;
		const { namespace, creationTimestamp } = metadata;
		const key = `${namespace}/${name}`;
		const endpoint = { podIps, nodeName: String(spec['nodeName']), ports: group };
		return {
			key,
			service: {
				metadata: { namespace, name, creationTimestamp },
				spec: {
					hostIPs: ip === '' ? addresses : [ip],
					// The client's address is the pod's to see
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
			.filter((ip) => ip.includes(':') === (addressType === 'IPv6'))
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

function nameOf(port: number, protocol: string): string {
	return `${port}-${protocol.toLowerCase()}`;
}

function objects(json: Json, field: string): Json[] {
	const value = json[field];
	return Array.isArray(value) ? value.filter(isJson) : [];
}
