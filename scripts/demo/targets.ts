/** Every address of every Service, with the clients that it must answer. */
import type { Node, Service } from '../../standalone/port.ts';
import type { Target } from './job.ts';

export type Vantage = 'pod' | 'host' | 'outside';

export interface Expectation extends Target {
	readonly from: Vantage;
	readonly service: string;
	/** The kind of address, for the reader. */
	readonly way: string;
}

type ServicePort = NonNullable<Service['spec']['ports']>[number];

interface NodeAddress {
	readonly node: string;
	readonly address: string;
}

/**
 * ClusterIPs answer in the cluster, NodePorts on every node for every client, and on loopback for
 * the node itself. Skips headless Services, SCTP and Services without a selector.
 */
export function expectations(services: readonly Service[], nodes: readonly Node[]): Expectation[] {
	const addresses = nodes.flatMap(internalAddresses);
	return services.flatMap((service) => {
		if (Object.keys(service.spec?.selector ?? {}).length === 0) return [];
		const ports = service.spec?.ports ?? [];
		return ports
			.filter(({ protocol }) => protocol !== 'SCTP')
			.flatMap((port) => ofPort(service, port, addresses));
	});
}

/** The Service's name, with the namespace unless that is `default`. */
export function serviceLabel({ metadata: { name, namespace } }: Service): string {
	return namespace === 'default' ? name : `${namespace}/${name}`;
}

function ofPort(service: Service, port: ServicePort, nodes: readonly NodeAddress[]): Expectation[] {
	const label = serviceLabel(service);
	const families: readonly string[] = service.spec?.ipFamilies ?? [];
	const make = (from: Vantage, way: string, address: string, number: number): Expectation => ({
		id: `${from} ${label} ${port.protocol} ${address} ${number}`,
		protocol: port.protocol as Target['protocol'],
		address,
		port: number,
		from,
		service: `${label} ${port.protocol}`,
		way,
	});
	const found: Expectation[] = [];
	const clusterIPs = (service.spec?.clusterIPs ?? []).filter((ip) => ip !== 'None');
	for (const from of ['pod', 'host'] as const)
		for (const ip of clusterIPs) found.push(make(from, 'ClusterIP', ip, port.port));
	if (!port.nodePort) return found;
	for (const from of ['pod', 'host', 'outside'] as const)
		for (const { node, address } of nodes)
			if (families.includes(familyOf(address)))
				found.push(make(from, `NodePort ${node}`, address, port.nodePort));
	for (const address of ['127.0.0.1', '::1'])
		if (families.includes(familyOf(address)))
			found.push(make('host', 'NodePort loopback', address, port.nodePort));
	return found;
}

function internalAddresses(node: Node): NodeAddress[] {
	const addresses = node.status?.addresses ?? [];
	return addresses
		.filter(({ type }) => type === 'InternalIP')
		.map(({ address }) => ({ node: node.metadata.name, address }));
}

function familyOf(address: string): 'IPv4' | 'IPv6' {
	return address.includes(':') ? 'IPv6' : 'IPv4';
}
