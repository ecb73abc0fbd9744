import { type Cidr, cidrText, contains } from './cidr.ts';
import type { Ip } from './ip.ts';
import type { Node, Parsed, Problem, Service } from './types.ts';

/** Reserved addresses, and the ranges that are allowed for externalIPs. */
export interface Guard {
	readonly node: Node;
	/** Addresses of the API server. */
	readonly apiServers: readonly Ip[];
	readonly serviceCidrs: readonly Cidr[];
	/** Ranges allowed for externalIPs, node addresses included; undefined: all but reserved ones. */
	readonly externalCidrs: readonly Cidr[] | undefined;
}

/**
 * Removes addresses by which a Service would intercept traffic that is meant for others
 * (CVE-2020-8554). A load balancer may use an address of the node (k3s does), and only controllers
 * write status.
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
	// allows an address that only a device has: keepalived moves such an address from node to node
	if (!isOneOf(node.addresses)) return undefined;
	return "is the Node's own address; use another, or allow its range with --external-ips";
}

function inServiceCidr(ip: Ip, { serviceCidrs }: Guard): string | undefined {
	const cidr = serviceCidrs.find((range) => contains(range, ip));
	return cidr && `is in ${cidrText(cidr)}, the range of ClusterIPs; use an address outside of it`;
}

/**
 * Ranges of ClusterIPs in which packets to unallocated addresses are dropped. A range that contains
 * an address of the node is refused, since the drop would cut off the node.
 * @param cidrs from the configuration or from the API server
 */
export function usableServiceCidrs(cidrs: readonly Cidr[], node: Node, limit: number): Parsed<Cidr[]> {
	const problems: Problem[] = [];
	const value: Cidr[] = [];
	for (const cidr of new Map(cidrs.map((cidr) => [cidrText(cidr), cidr])).values()) {
		const object = `ServiceCIDR ${cidrText(cidr)}`;
		const own = [...node.addresses, ...node.localAddresses].find((ip) => contains(cidr, ip));
		const message = own
			? `contains the node address ${own.text}, so packets to its unallocated addresses are not dropped. Choose a range without node addresses`
			: `exceeds the limit of ${limit} ranges, so packets to its unallocated addresses are not dropped. Configure fewer ranges`;
		if (own || value.length === limit) problems.push({ object, field: '', message });
		else value.push(cidr);
	}
	return { value, problems };
}
