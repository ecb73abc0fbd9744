import type { Cidr } from './cidr.ts';
import { endpointText, type Ip, parseIp } from './ip.ts';
import { type Candidate, decide, type Place, wantsLocal } from './policy.ts';
import type { EndpointSource, Node, Protocol, Service, ServicePort } from './types.ts';

/** An endpoint as a frontend may use it. */
export interface Backend {
	/** `10.0.0.1:80/tcp`: what the id and the place in Maglev tables depend on. */
	readonly key: string;
	readonly ip: Ip;
	readonly port: number;
	readonly protocol: Protocol;
	readonly local: boolean;
}

export type Scope = 'external' | 'internal';
export type FrontendKind = 'clusterip' | 'nodeport' | 'loadbalancer' | 'externalip';

/** An address and port of a Service port, for clients of one scope. */
export interface Frontend {
	/** `10.96.0.1:80/tcp`: what only one Service may own. */
	readonly claim: string;
	readonly ip: Ip;
	readonly port: number;
	readonly protocol: Protocol;
	readonly scope: Scope;
	readonly kind: FrontendKind;
	/** 127.0.0.1 or ::1. */
	readonly loopback: boolean;
	/** Backends are elsewhere only. */
	readonly drop: boolean;
	/** `default/web:80/tcp`: the Service port, what counters and affinity belong to. */
	readonly portKey: string;
	readonly affinitySeconds: number;
	/** Packets for it may reach any node, whatever node saw the connection's first. */
	readonly shared: boolean;
	/** Other ports of its address are refused: nobody but Services has any there. */
	readonly closed: boolean;
	/** Who may use it; undefined: everybody. */
	readonly sources: readonly Cidr[] | undefined;
	/** Sorted by key. */
	readonly backends: readonly Backend[];
}

export interface Translation {
	readonly key: string;
	/** Order in which Services win: the older, then the one whose key is first. */
	readonly created: number;
	/** Sorted by claim, then scope. */
	readonly frontends: readonly Frontend[];
	/** Backends whose connections go on though no table may name them. Sorted by key. */
	readonly kept: readonly Backend[];
}

interface Found extends Candidate {
	readonly backend: Backend;
}

const LOOPBACK: readonly Ip[] = [parseIp('127.0.0.1')!, parseIp('::1')!];
const SCOPES: readonly Scope[] = ['external', 'internal'];

/** What a Service and its endpoints mean on this node. Pure; sorted; depends on the content of its input only. */
export function translate(service: Service, sources: Iterable<EndpointSource>, node: Node): Translation {
	const frontends: Frontend[] = [];
	const kept = new Map<string, Backend>();
	const groups = [...sources].flatMap((source) => source.groups);
	for (const port of service.ports) {
		const found = candidates(groups, port, node.name);
		for (const candidate of found) {
			if (outlivesTables(candidate, port.protocol)) kept.set(candidate.backend.key, candidate.backend);
		}
		frontends.push(...frontendsOf(service, port, found, node));
	}
	return {
		key: service.key,
		created: service.created,
		frontends: uniqueBy(frontends, (f) => `${f.claim} ${f.scope}`).sort(
			(a, b) => compare(a.claim, b.claim) || compare(a.scope, b.scope),
		),
		kept: [...kept.values()].sort((a, b) => compare(a.key, b.key)),
	};
}

/**
 * A TCP connection may go on for as long as its endpoint is listed, as with kube-proxy; a UDP flow, which has no end
 * of its own, moves on when the endpoint does not serve any more.
 */
function outlivesTables(candidate: Found, protocol: Protocol): boolean {
	return protocol === 'tcp' || candidate.ready || candidate.serving;
}

/** Endpoints of a Service port of both families: the union of the slices, one for each address and port. */
function candidates(
	groups: readonly EndpointSource['groups'][number][],
	port: ServicePort,
	nodeName: string,
): Found[] {
	const found = new Map<string, Found>();
	for (const group of groups) {
		const targets = group.ports.filter((p) => p.name === port.name && p.protocol === port.protocol);
		for (const target of targets) {
			for (const endpoint of group.endpoints) {
				const key = `${endpointText(endpoint.ip, target.port)}/${port.protocol}`;
				const local = endpoint.node !== '' && endpoint.node === nodeName;
				const { ip, ready, serving, terminating, forZones, forNodes } = endpoint;
				const backend: Backend = { key, ip, port: target.port, protocol: port.protocol, local };
				const candidate = { backend, ready, serving, terminating, local, forZones, forNodes };
				const other = found.get(key);
				found.set(key, other ? merge(other, candidate) : candidate);
			}
		}
	}
	return [...found.values()].sort((a, b) => compare(a.backend.key, b.backend.key));
}

/** The same endpoint in two slices: it can what either says. Hints are those of the ready one. */
function merge(a: Found, b: Found): Found {
	const [first, second] = a.ready || !b.ready ? [a, b] : [b, a];
	const local = first.local || second.local;
	return {
		...first,
		backend: { ...first.backend, local },
		serving: first.serving || second.serving,
		terminating: first.terminating || second.terminating,
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

/** A Service has the families of its ClusterIPs; addresses of another family are not served. */
function addresses(service: Service, port: ServicePort, node: Node): Address[] {
	const families = new Set([...service.clusterIps, ...service.hostIps].map((ip) => ip.family));
	const own = new Set([...node.addresses, ...node.localAddresses].map((ip) => ip.text));
	const at = (ips: readonly Ip[], kind: FrontendKind, number = port.port, loopback = false): Address[] =>
		ips
			.filter((ip) => families.has(ip.family))
			.map((ip) => {
				const closed = kind !== 'nodeport' && !own.has(ip.text);
				const sources = kind === 'loadbalancer' ? sourcesOf(service, ip.family) : undefined;
				return { ip, port: number, kind, loopback, closed, sources };
			});
	return [
		...at(service.clusterIps, 'clusterip'),
		...at(service.ingressIps, 'loadbalancer'),
		...at(service.externalIps, 'externalip'),
		...at(service.hostIps, 'nodeport'),
		...(port.nodePort === 0 ? [] : at(node.nodePortAddresses, 'nodeport', port.nodePort)),
		...(port.nodePort === 0 ? [] : at(LOOPBACK, 'nodeport', port.nodePort, true)),
	];
}

/** Ranges of the address's family; undefined: everybody. */
function sourcesOf({ sourceRanges }: Service, family: 4 | 6): Cidr[] | undefined {
	if (!sourceRanges.families.includes(family)) return undefined;
	return sourceRanges.allowed.filter((range) => range.ip.family === family);
}

function frontendsOf(service: Service, port: ServicePort, found: readonly Found[], node: Node): Frontend[] {
	const place: Place = { node: node.name, zone: node.zone };
	const portKey = `${service.key}:${port.port}/${port.protocol}`;
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

/** All addresses of a Service port have one table, so its size is that of the most demanding. */
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
