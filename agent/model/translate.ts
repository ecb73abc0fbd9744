import type { Cidr } from './cidr.ts';
import { endpointText, type Ip, isLoopback, parseIp } from './ip.ts';
import { type Candidate, decide, type Place, wantsLocal } from './policy.ts';
import type { EndpointSource, Node, Protocol, Service, ServicePort } from './types.ts';

/** An endpoint of one Service port. */
export interface Backend {
	/** `10.0.0.1:80/tcp`: determines the place in Maglev tables, equal on every node. */
	readonly key: string;
	/** Its Service port. Another Service port with the same endpoint has its own backend. */
	readonly portKey: string;
	readonly ip: Ip;
	readonly port: number;
	readonly protocol: Protocol;
	readonly local: boolean;
}

export type Scope = 'external' | 'internal';
export type FrontendKind = 'clusterip' | 'nodeport' | 'loadbalancer' | 'externalip';

/** An address and port of a Service port, for clients of one scope. */
export interface Frontend {
	/** `10.96.0.1:80/tcp`: only one Service may own it. */
	readonly claim: string;
	readonly ip: Ip;
	readonly port: number;
	readonly protocol: Protocol;
	readonly scope: Scope;
	readonly kind: FrontendKind;
	/** 127.0.0.1 or ::1: only for processes of the node. */
	readonly loopback: boolean;
	/** Only other nodes have usable endpoints. */
	readonly drop: boolean;
	/** `default/web:80/tcp`: the Service port, which has one id in the maps. */
	readonly portKey: string;
	readonly affinitySeconds: number;
	/** Packets of one connection may reach different nodes. */
	readonly shared: boolean;
	/** The address does not belong to the node, so packets to its other ports may be refused. */
	readonly closed: boolean;
	/** Allowed sources; undefined: all. */
	readonly sources: readonly Cidr[] | undefined;
	/** Sorted by key. */
	readonly backends: readonly Backend[];
}

export interface Translation {
	readonly key: string;
	/** Creation time, ms: of conflicting Services the oldest wins, then the first by key. */
	readonly created: number;
	/** Sorted by claim, then scope. */
	readonly frontends: readonly Frontend[];
	/**
	 * Backends whose connections continue even if no table lists them. Sorted by key, then portKey.
	 */
	readonly kept: readonly Backend[];
}

interface Found extends Candidate {
	readonly backend: Backend;
}

const LOOPBACK: readonly Ip[] = [parseIp('127.0.0.1')!, parseIp('::1')!];
const SCOPES: readonly Scope[] = ['external', 'internal'];

/**
 * Translates a Service and its endpoints for this node. Pure: the result is sorted, and depends
 * only on the content of the input.
 */
export function translate(service: Service, sources: Iterable<EndpointSource>, node: Node): Translation {
	const frontends: Frontend[] = [];
	const kept = new Map<string, Backend>();
	const groups = [...sources].flatMap((source) => (source.served ? source.groups : []));
	for (const port of service.ports) {
		const found = candidates(groups, port, node.name, portKeyOf(service, port));
		for (const candidate of found) {
			const { backend } = candidate;
			if (outlivesTables(candidate, port.protocol)) kept.set(`${backend.key} ${backend.portKey}`, backend);
		}
		frontends.push(...frontendsOf(service, port, found, node));
	}
	return {
		key: service.key,
		created: service.created,
		frontends: uniqueBy(frontends, (f) => `${f.claim} ${f.scope}`).sort(
			(a, b) => compare(a.claim, b.claim) || compare(a.scope, b.scope),
		),
		kept: [...kept.values()].sort((a, b) => compare(a.key, b.key) || compare(a.portKey, b.portKey)),
	};
}

function portKeyOf(service: Service, { port, protocol }: ServicePort): string {
	return `${service.key}:${port}/${protocol}`;
}

/**
 * A TCP connection may continue while its endpoint is listed, as with kube-proxy. A UDP flow has no
 * end of its own, so it moves when the endpoint stops serving.
 */
function outlivesTables(candidate: Found, protocol: Protocol): boolean {
	return protocol === 'tcp' || candidate.ready || candidate.serving;
}

/** Endpoints of a Service port in both families: the union of its slices by address and port. */
function candidates(
	groups: readonly EndpointSource['groups'][number][],
	port: ServicePort,
	nodeName: string,
	portKey: string,
): Found[] {
	const found = new Map<string, Found>();
	for (const group of groups) {
		const targets = group.ports.filter((p) => p.name === port.name && p.protocol === port.protocol);
		for (const target of targets) {
			for (const endpoint of group.endpoints) {
				const key = `${endpointText(endpoint.ip, target.port)}/${port.protocol}`;
				const local = endpoint.node !== '' && endpoint.node === nodeName;
				const { ip, ready, serving, terminating, forZones, forNodes } = endpoint;
				const backend = { key, portKey, ip, port: target.port, protocol: port.protocol, local };
				const candidate = { backend, ready, serving, terminating, local, forZones, forNodes };
				const other = found.get(key);
				found.set(key, other ? merge(other, candidate) : candidate);
			}
		}
	}
	return [...found.values()].sort((a, b) => compare(a.backend.key, b.backend.key));
}

/**
 * Merges two entries of one endpoint. If only one is terminating, the other wins: a pod that ends
 * may have left its address to another one. Otherwise `serving` and `local` are true if either
 * entry says so, and hints come from the ready entry.
 */
function merge(a: Found, b: Found): Found {
	if (a.terminating !== b.terminating) return a.terminating ? b : a;
	const [first, second] = a.ready || !b.ready ? [a, b] : [b, a];
	const local = first.local || second.local;
	return {
		...first,
		backend: { ...first.backend, local },
		serving: first.serving || second.serving,
		local,
		forZones: union(first, second, 'forZones'),
		forNodes: union(first, second, 'forNodes'),
	};
}

function union(a: Found, b: Found, field: 'forZones' | 'forNodes'): readonly string[] {
	if (a.ready !== b.ready) return a[field];
	return [...new Set([...a[field], ...b[field]])].sort();
}

interface Address {
	readonly ip: Ip;
	readonly port: number;
	readonly kind: FrontendKind;
	readonly loopback: boolean;
	readonly closed: boolean;
	readonly sources: readonly Cidr[] | undefined;
}

/** Addresses of a Service port, in the families of its ClusterIPs or hostIPs. */
function addresses(service: Service, port: ServicePort, node: Node): Address[] {
	const families = new Set([...service.clusterIps, ...service.hostIps].map((ip) => ip.family));
	const own = new Set([...node.addresses, ...node.localAddresses].map((ip) => ip.text));
	const at = (ips: readonly Ip[], kind: FrontendKind, number = port.port): Address[] =>
		ips
			.filter((ip) => families.has(ip.family))
			.map((ip) => {
				const closed = kind !== 'nodeport' && !own.has(ip.text);
				const sources = kind === 'loadbalancer' ? sourcesOf(service, ip.family) : undefined;
				return { ip, port: number, kind, loopback: isLoopback(ip), closed, sources };
			});
	return [
		...at(service.clusterIps, 'clusterip'),
		...at(service.ingressIps, 'loadbalancer'),
		...at(service.externalIps, 'externalip'),
		...at(service.hostIps, 'nodeport'),
		...(port.nodePort === 0 ? [] : at(node.nodePortAddresses, 'nodeport', port.nodePort)),
		...(port.nodePort === 0 ? [] : at(LOOPBACK, 'nodeport', port.nodePort)),
	];
}

/** Allowed ranges of the address's family; undefined: all sources. */
function sourcesOf({ sourceRanges }: Service, family: 4 | 6): Cidr[] | undefined {
	if (!sourceRanges.families.includes(family)) return undefined;
	return sourceRanges.allowed.filter((range) => range.ip.family === family);
}

function frontendsOf(service: Service, port: ServicePort, found: readonly Found[], node: Node): Frontend[] {
	const place: Place = { node: node.name, zone: node.zone };
	const portKey = portKeyOf(service, port);
	const families = new Map(([4, 6] as const).map((f) => [f, found.filter((c) => c.backend.ip.family === f)]));
	return addresses(service, port, node).flatMap((address): Frontend[] => {
		const scopes = address.loopback ? (['internal'] as const) : SCOPES;
		return scopes.map((scope) => {
			const local = wantsLocal(service, address.kind === 'clusterip', scope);
			const { backends, drop } = decide(local, families.get(address.ip.family)!, place);
			return {
				claim: `${endpointText(address.ip, address.port)}/${port.protocol}`,
				...address,
				protocol: port.protocol,
				scope,
				drop,
				portKey,
				affinitySeconds: service.affinitySeconds,
				shared: hasSharedAddress(service, port),
				backends: backends.map((c) => c.backend),
			};
		});
	});
}

/** All addresses of a Service port share one table, so one shared address determines its size. */
function hasSharedAddress(service: Service, port: ServicePort): boolean {
	return (
		port.nodePort !== 0 ||
		service.ingressIps.length > 0 ||
		service.externalIps.length > 0 ||
		service.hostIps.length > 0
	);
}

function uniqueBy<T>(items: readonly T[], key: (item: T) => string): T[] {
	const map = new Map<string, T>();
	for (const item of items) if (!map.has(key(item))) map.set(key(item), item);
	return [...map.values()];
}

export function compare(a: string | number, b: string | number): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
