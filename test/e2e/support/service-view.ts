import { isIPv6 } from 'node:net';
import type { NodeInfo } from './cluster.ts';
import type { Json, Target } from './environment.ts';

export type Family = 'v4' | 'v6';

/** Values of `udp` below. */
export const TCP_AND_UDP = [false, true] as const;

export const familyOf = (address: string): Family => (isIPv6(address) ? 'v6' : 'v4');

/**
 * Targets of a Service made by `service()` (objects.ts): its TCP port, or its UDP port with `udp`.
 */
export interface ServiceView {
	readonly spec: Json;
	/** The ClusterIPs in the order of the Service's families. */
	clusterIPs(udp?: boolean): Target[];
	/** The NodePort at the node address of each family of the Service. */
	nodePorts(node: NodeInfo, udp?: boolean): Target[];
	/** The Service port at other addresses of the Service. */
	at(addresses: readonly string[], udp?: boolean): Target[];
}

export function viewOf(spec: Json): ServiceView {
	const protocol = (udp: boolean) => (udp ? 'UDP' : 'TCP');
	const portOf = (udp: boolean) =>
		spec.ports.find((port: Json) => (port.protocol ?? 'TCP') === protocol(udp));
	const families: Family[] = spec.clusterIPs.map(familyOf);
	const at = (addresses: readonly string[], port: number, udp: boolean): Target[] =>
		addresses.map((host) => ({ host, port, udp }));
	return {
		spec,
		clusterIPs: (udp = false) => at(spec.clusterIPs, portOf(udp).port, udp),
		nodePorts: (node, udp = false) =>
			at(
				families.flatMap((family) => node[family] ?? []),
				portOf(udp).nodePort,
				udp,
			),
		at: (addresses, udp = false) => at(addresses, portOf(udp).port, udp),
	};
}
