/**
 * A zone of Kubernetes objects that tests query in complete messages. dns-packet encodes and
 * decodes them.
 */
import packet, { type Packet, type Record } from 'dns-packet';
import { Resolver, type ResolverOptions } from '../../agent/dns/resolver.ts';
import { parseDnsService } from '../../agent/dns/service.ts';
import { Zone } from '../../agent/dns/zone.ts';
import { parseCidr } from '../../agent/model/cidr.ts';
import { parseEndpointSlice, parseEndpoints } from '../../agent/model/endpoints.ts';
import type { Manifest } from '../golden/case.ts';

export const EVERYWHERE = ['0.0.0.0/0', '::/0'];

export function makeZone(reverse: readonly string[] = EVERYWHERE): Zone {
	return new Zone({
		name: 'cluster.local',
		server: 'kube-system/kube-dns',
		reverse: reverse.map((text) => parseCidr(text)!),
		now: () => 1_700_000_000,
	});
}

const keyOf = ({ metadata }: Manifest): string => `${metadata.namespace ?? 'default'}/${metadata.name}`;

/** Adds Namespaces, Services, Endpoints and EndpointSlices to a zone. */
export function load(zone: Zone, manifests: readonly Manifest[]): Zone {
	const services = manifests.filter(({ kind }) => kind === 'Service');
	const sources = manifests.flatMap((manifest) => {
		if (manifest.kind === 'Endpoints') return parseEndpoints(manifest, keyOf(manifest)).value;
		return manifest.kind === 'EndpointSlice' ? parseEndpointSlice(manifest, keyOf(manifest)).value : [];
	});
	for (const { kind, metadata } of manifests)
		if (kind === 'Namespace') zone.setNamespace(metadata.name, true);
	for (const manifest of services) {
		const key = keyOf(manifest);
		const own = sources.filter(({ service }) => service === key);
		zone.setService(key, parseDnsService(manifest, key), own);
	}
	return zone;
}

export interface Asked {
	readonly transport?: 'udp' | 'tcp';
	/** UDP size of an OPT record. */
	readonly edns?: number;
	readonly class?: string;
	/** false clears RD, so that the server does not ask other servers. */
	readonly recursion?: boolean;
}

export function queryOf(name: string, type: string, asked: Asked = {}): Buffer {
	const { edns, class: dnsClass = 'IN', recursion = true } = asked;
	const opt = { type: 'OPT', name: '.', udpPayloadSize: edns, flags: 0, options: [] };
	return packet.encode({
		type: 'query',
		id: 4711,
		flags: recursion ? 0x100 : 0,
		questions: [{ name: name.replace(/\.$/, ''), type, class: dnsClass }],
		additionals: edns === undefined ? [] : [opt],
	});
}

export interface Said extends Packet {
	readonly length: number;
	/** Answers in the format of the vectors. */
	readonly texts: string[];
}

/** Sends queries to a resolver of a zone. */
export function asker(zone: Zone, options: Partial<ResolverOptions> = {}) {
	const resolver = new Resolver({ zone, synced: () => true, ...options });
	return async (name: string, type: string, asked: Asked = {}): Promise<Said> => {
		const message = await resolver.handle(queryOf(name, type, asked), asked.transport ?? 'udp');
		const said = packet.decode(message!);
		return { ...said, length: message!.length, texts: said.answers.map(dataText).sort() };
	};
}

interface SrvData {
	readonly priority: number;
	readonly weight: number;
	readonly port: number;
	readonly target: string;
}

/** `0 100 80 web.default.svc.cluster.local.` */
export function dataText({ type, data }: Record): string {
	if (type === 'SRV') {
		const { priority, weight, port, target } = data as SrvData;
		return `${priority} ${weight} ${port} ${target}.`;
	}
	if (type === 'TXT') return (data as Buffer[]).map(String).join('');
	return ['CNAME', 'PTR', 'NS'].includes(type) ? `${data}.` : String(data);
}

export const service = (key: string, spec: object): Manifest => {
	const [namespace = '', name = ''] = key.split('/');
	return { kind: 'Service', metadata: { namespace, name }, spec: { type: 'ClusterIP', ...spec } };
};

export interface SliceEndpoint {
	readonly ip: string;
	readonly hostname?: string;
	readonly ready?: boolean;
}

/** @param id distinguishes several slices of a Service */
export function slice(
	key: string,
	endpoints: readonly SliceEndpoint[],
	ports: readonly object[] = [{ name: 'http', port: 80, protocol: 'TCP' }],
	id = 'a',
): Manifest {
	const [namespace = '', name = ''] = key.split('/');
	return {
		kind: 'EndpointSlice',
		metadata: { namespace, name: `${name}-${id}`, labels: { 'kubernetes.io/service-name': name } },
		addressType: endpoints[0]?.ip.includes(':') ? 'IPv6' : 'IPv4',
		endpoints: endpoints.map(({ ip, hostname, ready = true }) => ({
			addresses: [ip],
			conditions: { ready },
			...(hostname !== undefined && { hostname }),
		})),
		ports,
	};
}
