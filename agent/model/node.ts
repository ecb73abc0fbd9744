import type { Ip } from './ip.ts';
import { child, isJson, Reader, show } from './read.ts';
import type { Node, Parsed } from './types.ts';

const ZONE = 'topology.kubernetes.io/zone';
const LEAVING_TAINT = 'ToBeDeletedByClusterAutoscaler';

/** A node before its object is known. */
export function unknownNode(name: string): Node {
	return { name, zone: '', addresses: [], localAddresses: [], nodePortAddresses: [], leaving: false };
}

/** Reads a Node (core/v1). It serves NodePorts at its primary addresses. */
export function parseNode(raw: unknown, name: string): Parsed<Node> {
	const reader = new Reader(`Node ${name}`);
	const json = isJson(raw) ? raw : {};
	if (!isJson(raw)) reader.report('', `is ${show(raw)}, expected an object`);
	const meta = child(json, 'metadata');
	const internal: Ip[] = [];
	const external: Ip[] = [];
	const found = new Map([
		['InternalIP', internal],
		['ExternalIP', external],
	]);
	for (const [address, path] of reader.objects(child(json, 'status'), 'addresses', 'status.addresses')) {
		const list = found.get(reader.text(address, 'type', `${path}.type`));
		if (!list) continue;
		const ip = reader.ip(reader.text(address, 'address', `${path}.address`), `${path}.address`);
		if (ip) list.push(ip);
	}
	const taints = reader.objects(child(json, 'spec'), 'taints', 'spec.taints');
	const value: Node = {
		name,
		zone: reader.text(child(meta, 'labels'), ZONE, `metadata.labels["${ZONE}"]`),
		addresses: unique([...internal, ...external]),
		localAddresses: [],
		nodePortAddresses: unique([...internal, ...external.filter((ip) => !hasFamily(internal, ip.family))]),
		leaving: meta['deletionTimestamp'] != null || taints.some(([taint]) => taint['key'] === LEAVING_TAINT),
	};
	return { value, problems: reader.problems };
}

/** An ExternalIP is a primary address only in a family without an InternalIP (GetNodeHostIPs). */
function hasFamily(ips: readonly Ip[], family: 4 | 6): boolean {
	return ips.some((ip) => ip.family === family);
}

function unique(ips: readonly Ip[]): Ip[] {
	return [...new Map(ips.map((ip) => [ip.text, ip])).values()];
}

/** The node's first address of a family: the source address of forwarded packets. */
export function primaryAddress(node: Node, family: 4 | 6): Ip | undefined {
	return node.addresses.find((ip) => ip.family === family);
}
