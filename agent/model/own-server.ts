import type { Ip } from './ip.ts';
import type { EndpointSource, Service } from './types.ts';

/** A server that this node runs for a port of a Service: its own clients have no need to go elsewhere. */
export interface OwnServer {
	/** namespace/name */
	readonly service: string;
	/** Of the Service. */
	readonly port: number;
	readonly addresses: readonly { readonly ip: Ip; readonly port: number }[];
}

/**
 * The endpoints of a Service as this node sees them: in the families in which it has a server of its own, that server
 * is the only endpoint of its port; other ports, and other families, have what the cluster has.
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
	return [...others, { key: `${service.key} of this node`, service: service.key, groups }];
}
