import { type Cidr, cidrText, contains } from './cidr.ts';
import type { Ip } from './ip.ts';
import type { Node, Parsed, Problem, Service } from './types.ts';

/** What addresses a Service may be given by those who may write it, and which nobody may take. */
export interface Guard {
	readonly node: Node;
	/** Where the API server is reached. */
	readonly apiServers: readonly Ip[];
	readonly serviceCidrs: readonly Cidr[];
	/** Where externalIPs may lie, the node's own included; undefined: anywhere but at what is somebody's. */
	readonly externalCidrs: readonly Cidr[] | undefined;
}

/**
 * Takes from a Service the addresses with which its writer would catch traffic that is meant for others
 * (CVE-2020-8554). A load balancer may well use a node's own address (k3s does), and only a controller writes status.
 */
export function guardAddresses(service: Service, guard: Guard): Parsed<Service> {
	const problems: Problem[] = [];
	const keep = (field: string, reason: (ip: Ip) => string | undefined) => (ip: Ip) => {
		const why = reason(ip);
		if (why !== undefined)
			problems.push({ object: `Service ${service.key}`, field, message: `${ip.text} ${why}` });
		return why === undefined;
	};
	const externalIps = service.externalIps.filter(
		keep('spec.externalIPs', (ip) => refusedExternal(ip, guard)),
	);
	const ingressIps = service.ingressIps.filter(
		keep('status.loadBalancer.ingress', (ip) => inServiceCidr(ip, guard)),
	);
	return { value: problems.length === 0 ? service : { ...service, externalIps, ingressIps }, problems };
}

function refusedExternal(ip: Ip, guard: Guard): string | undefined {
	const { node, apiServers, externalCidrs } = guard;
	const isOneOf = (ips: readonly Ip[]) => ips.some((other) => other.text === ip.text);
	if (isOneOf(apiServers)) return 'is an address of the API server; use another';
	const reserved = inServiceCidr(ip, guard);
	if (reserved !== undefined) return reserved;
	if (externalCidrs !== undefined) {
		if (externalCidrs.some((cidr) => contains(cidr, ip))) return undefined;
		return 'is not in the ranges of --external-ips; use an address of them, or add its range';
	}
	// an address that only a device has may be there for this: keepalived moves one from node to node
	if (!isOneOf(node.addresses)) return undefined;
	return "is the Node's own address; use another, or allow its range with --external-ips";
}

function inServiceCidr(ip: Ip, { serviceCidrs }: Guard): string | undefined {
	const cidr = serviceCidrs.find((range) => contains(range, ip));
	return cidr && `is in ${cidrText(cidr)}, the range of ClusterIPs; use an address outside of it`;
}

/**
 * Ranges of ClusterIPs that may be closed. One that holds an address of the node would cut it off.
 * @param cidrs as they are configured, or as the API server has them
 */
export function usableServiceCidrs(cidrs: readonly Cidr[], node: Node, limit: number): Parsed<Cidr[]> {
	const problems: Problem[] = [];
	const value: Cidr[] = [];
	for (const cidr of new Map(cidrs.map((cidr) => [cidrText(cidr), cidr])).values()) {
		const object = `ServiceCIDR ${cidrText(cidr)}`;
		const own = [...node.addresses, ...node.localAddresses].find((ip) => contains(cidr, ip));
		const message = own
			? `holds ${own.text}, an address of the node: what is not given out of it is not dropped`
			: `is one more than the ${limit} that fit: what is not given out of it is not dropped`;
		if (own || value.length === limit) problems.push({ object, field: '', message });
		else value.push(cidr);
	}
	return { value, problems };
}
