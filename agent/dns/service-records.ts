import type { Ip } from '../model/ip.ts';
import type { Endpoint, EndpointSource } from '../model/types.ts';
import { addressLabel, isName } from './name.ts';
import type { NameRecords, Srv } from './record.ts';
import type { DnsService, NamedPort } from './service.ts';

/** Names and their records, of a Service or of one of its endpoint objects. */
export interface RecordSet {
	readonly names: ReadonlyMap<string, NameRecords>;
	/** Text of an address -> the names that a PTR query for it returns. */
	readonly reverse: ReadonlyMap<string, readonly string[]>;
}

/** `svc.ns.svc.zone` */
export function serviceName(service: Pick<DnsService, 'name' | 'namespace'>, zone: string): string {
	return `${service.name}.${service.namespace}.svc.${zone}`.toLowerCase();
}

/**
 * Records of a Service with a cluster IP or an external name (Kubernetes DNS specification 1.1.0,
 * sections 2.3 and 2.5). Pure, like endpointRecords(). Addresses keep the order of the objects.
 */
export function serviceRecords(service: DnsService, zone: string): RecordSet {
	const found = new Collected();
	const name = serviceName(service, zone);
	if (service.kind === 'external') found.alias(name, service.externalName);
	else {
		found.name(name);
		for (const ip of service.clusterIps) found.address(name, ip, name);
		for (const port of service.ports) found.service(name, port, name);
	}
	return found;
}

/**
 * Records that one endpoint object of a headless Service adds to its names (section 2.4). A
 * headless Service without publishable endpoints has no names.
 */
export function endpointRecords(service: DnsService, source: EndpointSource, zone: string): RecordSet {
	const found = new Collected();
	const name = serviceName(service, zone);
	for (const { ports, endpoints } of source.groups) {
		const told = endpoints.filter((endpoint) => endpoint.ready || service.publishNotReady);
		for (const endpoint of told) {
			const target = `${endpointLabel(endpoint)}.${name}`;
			found.address(name, endpoint.ip);
			if (!found.name(target)) continue;
			found.address(target, endpoint.ip, target);
			for (const port of ports) found.service(name, port, target);
		}
	}
	return found;
}

function endpointLabel({ hostname, ip }: Endpoint): string {
	return hostname === '' ? addressLabel(ip) : hostname.toLowerCase();
}

interface Lists extends NameRecords {
	readonly a: Uint8Array[];
	readonly aaaa: Uint8Array[];
	readonly srv: Srv[];
	cname?: string;
}

/** Collects records. Drops duplicates, and names that do not fit in a message. */
class Collected implements RecordSet {
	readonly names = new Map<string, Lists>();
	readonly reverse = new Map<string, string[]>();
	readonly #seen = new Set<string>();

	name(name: string): Lists | undefined {
		const known = this.names.get(name);
		if (known || !isName(name)) return known;
		const made: Lists = { a: [], aaaa: [], srv: [] };
		this.names.set(name, made);
		return made;
	}

	/** @param owner the name that a PTR query for the address returns */
	address(name: string, ip: Ip, owner?: string): void {
		const records = this.name(name);
		if (!records || this.#again(`${name} ${ip.text}`)) return;
		if (ip.family === 4) records.a.push(ip.bytes.subarray(12));
		else records.aaaa.push(ip.bytes);
		if (owner === undefined) return;
		const names = this.reverse.get(ip.text) ?? [];
		this.reverse.set(ip.text, names);
		names.push(owner);
	}

	/** Adds a port to the bare name, as CoreDNS does, and to the name of a named port. */
	service(name: string, { name: portName, protocol, port }: NamedPort, target: string): void {
		const owners = portName === '' ? [name] : [name, `_${portName}._${protocol}.${name}`.toLowerCase()];
		for (const owner of owners) {
			if (this.#again(`${owner} ${port} ${target}`)) continue;
			this.name(owner)?.srv.push({ port, target });
		}
	}

	alias(name: string, externalName: string): void {
		const target = externalName.toLowerCase().replace(/\.$/, '');
		if (!isName(target)) return;
		const records = this.name(name);
		if (records) records.cname = target;
	}

	#again(what: string): boolean {
		if (this.#seen.has(what)) return true;
		this.#seen.add(what);
		return false;
	}
}
