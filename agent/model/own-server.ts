import type { Ip } from './ip.ts';
import type { EndpointSource, Service } from './types.ts';

/** A server on this node for a port of a Service: local clients use it instead of other nodes. */
export interface OwnServer {
	/** namespace/name */
	readonly service: string;
	/** Port of the Service. */
	readonly port: number;
	readonly addresses: readonly { readonly ip: Ip; readonly port: number }[];
}

/**
 * Endpoints of a Service as this node sees them. In the families of its own server, that server is
 * the only endpoint of the port. Other ports and families keep the endpoints of the cluster.
 */
export function withOwnServer(
	service: Service,
	sources: readonly EndpointSource[],
	{ port, addresses }: OwnServer,
	node: string,
): readonly EndpointSource[] {
	const own = service.ports.filter((each) => each.port === port);
	const isOwn = ({ name, protocol }: { name: string; protocol: string }): boolean =>
		own.some((each) => each.name === name && each.protocol === protocol);
	const families = new Set(addresses.map(({ ip }) => ip.family));
	const others = sources.map((source) => ({
		...source,
		groups: source.groups.flatMap(({ ports, endpoints }) => [
			{ ports: ports.filter((each) => !isOwn(each)), endpoints },
			{ ports: ports.filter(isOwn), endpoints: endpoints.filter(({ ip }) => !families.has(ip.family)) },
		]),
	}));
	const state = { ready: true, serving: true, terminating: false, hostname: '', forZones: [], forNodes: [] };
	const groups = addresses.map((address) => ({
		ports: own.map(({ name, protocol }) => ({ name, protocol, port: address.port })),
		endpoints: [{ ip: address.ip, node, ...state }],
	}));
	return [...others, { key: `${service.key} of this node`, service: service.key, served: true, groups }];
}
