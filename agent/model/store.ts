import { type Cidr, cidrText, nodePortAddresses } from './cidr.ts';
import { parseEndpointSlice, parseEndpoints } from './endpoints.ts';
import { type Guard, guardAddresses, usableServiceCidrs } from './guard.ts';
import type { Ip } from './ip.ts';
import { parseNode, unknownNode } from './node.ts';
import { parseService } from './service.ts';
import { parseServiceCidr } from './service-cidr.ts';
import type { EndpointSource, Node, Parsed, Problem, Service } from './types.ts';

export type EndpointsKind = 'endpointslices' | 'endpoints';

export interface StoreOptions {
	readonly nodeName: string;
	/** Where NodePorts are served; undefined: at the node's primary addresses. */
	readonly nodePortCidrs?: readonly Cidr[] | undefined;
	/** Where externalIPs may lie; undefined: anywhere but at what is somebody's. */
	readonly externalCidrs?: readonly Cidr[] | undefined;
	/** Addresses at which the agent reaches the API server. */
	readonly apiServers?: readonly Ip[] | undefined;
	/** Ranges of ClusterIPs that are known without the API server. */
	readonly serviceCidrs?: readonly Cidr[] | undefined;
	/** How many ranges of ClusterIPs there may be. */
	readonly serviceCidrLimit: number;
}

/** The API server's own Service: its endpoints are API servers. */
const API_SERVICE = 'default/kubernetes';

/**
 * The objects that the API server has, and which of them changed since they were last asked for. Setting one keeps
 * the raw object only: it is read when it is needed, so of many changes in a row only the last costs anything.
 */
export class Store {
	endpointsKind: EndpointsKind = 'endpointslices';
	readonly #pending = {
		services: new Map<string, unknown>(),
		sources: new Map<string, unknown>(),
		node: undefined as { raw: unknown } | undefined,
		local: undefined as readonly Ip[] | undefined,
		cidrs: new Map<string, unknown>(),
	};
	readonly #touched = new Set<string>();
	/** As they were read; #services has what is left of them when the guard has looked. */
	readonly #parsed = new Map<string, Service>();
	readonly #services = new Map<string, Service>();
	readonly #sources = new Map<string, EndpointSource>();
	/** Service key -> keys of its sources. */
	readonly #sourcesOf = new Map<string, Set<string>>();
	readonly #problems = new Map<string, readonly Problem[]>();
	readonly #options: StoreOptions;
	#local: readonly Ip[] = [];
	/** Ranges of ClusterIPs by object. */
	readonly #cidrs = new Map<string, readonly Cidr[]>();
	#node: Node;
	#guard: Guard;
	/** What the guard was when all Services were last held against it. */
	#guarded = '';

	constructor(options: StoreOptions) {
		this.#options = options;
		this.#node = unknownNode(options.nodeName);
		this.#guard = this.#newGuard();
	}

	/** @param raw the object as JSON; undefined: it is gone */
	setService(key: string, raw: unknown): void {
		this.#pending.services.set(key, raw);
	}

	/** An EndpointSlice, or Endpoints, as endpointsKind says. @param raw undefined: it is gone */
	setEndpoints(key: string, raw: unknown): void {
		this.#pending.sources.set(key, raw);
	}

	/** The agent's own Node. @param raw undefined: it is gone; what was known of it stays */
	setNode(raw: unknown): void {
		if (raw !== undefined) this.#pending.node = { raw };
	}

	/** A Service means something else than before though no object changed. */
	touch(service: string): void {
		this.#touched.add(service);
	}

	/** All addresses of the node's devices. */
	setLocalAddresses(local: readonly Ip[]): void {
		this.#pending.local = local;
	}

	/** @param raw undefined: it is gone */
	setServiceCidr(key: string, raw: unknown): void {
		this.#pending.cidrs.set(key, raw);
	}

	get dirty(): boolean {
		const { services, sources, node, local, cidrs } = this.#pending;
		const keyed = [this.#touched, services, sources, cidrs].some(({ size }) => size > 0);
		return keyed || node !== undefined || local !== undefined;
	}

	get node(): Node {
		return this.#node;
	}

	get services(): ReadonlyMap<string, Service> {
		return this.#services;
	}

	/** Ranges of ClusterIPs in which nothing else lives. */
	get serviceCidrs(): readonly Cidr[] {
		return this.#guard.serviceCidrs;
	}

	/** Endpoint objects of a Service, in a stable order. */
	sources(service: string): EndpointSource[] {
		const keys = [...(this.#sourcesOf.get(service) ?? [])].sort();
		return keys.map((key) => this.#sources.get(key)!);
	}

	/** What is wrong with the objects that are there. */
	problems(): Problem[] {
		return [...this.#problems.values()].flat();
	}

	/** Reads what changed. @returns keys of Services that may mean something else than before. */
	take(): Set<string> {
		const dirty = new Set(this.#touched);
		this.#touched.clear();
		const { services, sources, node, local, cidrs } = this.#pending;
		for (const [key, raw] of services) this.#readService(key, raw, dirty);
		for (const [key, raw] of sources) this.#readSource(key, raw, dirty);
		this.#local = local ?? this.#local;
		for (const [key, raw] of cidrs) this.#readServiceCidr(key, raw);
		if (node || local) this.#readNode(node, dirty);
		if (node || local || cidrs.size > 0 || dirty.has(API_SERVICE)) this.#readGuard(dirty);
		for (const key of dirty) this.#guardService(key);
		services.clear();
		sources.clear();
		cidrs.clear();
		this.#pending.node = undefined;
		this.#pending.local = undefined;
		return dirty;
	}

	#readService(key: string, raw: unknown, dirty: Set<string>): void {
		dirty.add(key);
		if (raw === undefined) {
			this.#parsed.delete(key);
			this.#problems.delete(`Service ${key}`);
			return;
		}
		this.#parsed.set(key, this.#keep(`Service ${key}`, parseService(raw, key)));
	}

	#readSource(key: string, raw: unknown, dirty: Set<string>): void {
		const before = this.#sources.get(key)?.service;
		if (before !== undefined) {
			dirty.add(before);
			const keys = this.#sourcesOf.get(before);
			keys?.delete(key);
			if (keys?.size === 0) this.#sourcesOf.delete(before);
		}
		if (raw === undefined) {
			this.#sources.delete(key);
			this.#problems.delete(`endpoints ${key}`);
			return;
		}
		const parse = this.endpointsKind === 'endpoints' ? parseEndpoints : parseEndpointSlice;
		const source = this.#keep(`endpoints ${key}`, parse(raw, key));
		this.#sources.set(key, source);
		if (source.service === undefined) return;
		dirty.add(source.service);
		const keys = this.#sourcesOf.get(source.service) ?? new Set();
		this.#sourcesOf.set(source.service, keys.add(key));
	}

	/** NodePorts are at the node's addresses; hints are read by the node's zone. @param node undefined: as it was */
	#readNode(node: { readonly raw: unknown } | undefined, dirty: Set<string>): void {
		const before = this.#node;
		const after = {
			...(node ? this.#keep('Node', parseNode(node.raw, before.name)) : before),
			localAddresses: this.#local,
		};
		const { nodePortCidrs } = this.#options;
		const chosen = nodePortCidrs && nodePortAddresses(nodePortCidrs, this.#local);
		this.#node = chosen ? { ...after, nodePortAddresses: chosen } : after;
		const text = ({ nodePortAddresses }: Node) => nodePortAddresses.map((ip) => ip.text).join();
		const moved = before.zone !== this.#node.zone;
		if (!moved && text(before) === text(this.#node)) return;
		for (const [key, service] of this.#parsed) {
			if (moved || service.ports.some((port) => port.nodePort !== 0)) dirty.add(key);
		}
	}

	#readServiceCidr(key: string, raw: unknown): void {
		const parsed = raw === undefined ? { value: [], problems: [] } : parseServiceCidr(raw, key);
		this.#cidrs.set(key, this.#keep(`ServiceCIDR ${key}`, parsed));
	}

	#newGuard(): Guard {
		const { externalCidrs, apiServers = [], serviceCidrs = [], serviceCidrLimit } = this.#options;
		const cidrs = [...serviceCidrs, ...[...this.#cidrs.values()].flat()];
		const behind = this.sources(API_SERVICE).flatMap(({ groups }) => groups.flatMap((g) => g.endpoints));
		return {
			node: this.#node,
			apiServers: [...apiServers, ...behind.map(({ ip }) => ip)],
			serviceCidrs: this.#keep('ServiceCIDR', usableServiceCidrs(cidrs, this.#node, serviceCidrLimit)),
			externalCidrs,
		};
	}

	/** Addresses that others gave a Service may have become the node's or the cluster's, or are so no more. */
	#readGuard(dirty: Set<string>): void {
		this.#guard = this.#newGuard();
		const { node, apiServers, serviceCidrs } = this.#guard;
		const ips = [node.addresses, node.localAddresses, apiServers].map((list) =>
			list.map((ip) => ip.text).join(),
		);
		const text = [...ips, serviceCidrs.map(cidrText).join()].join(' ');
		if (text === this.#guarded) return;
		this.#guarded = text;
		for (const [key, { externalIps, ingressIps }] of this.#parsed) {
			if (externalIps.length > 0 || ingressIps.length > 0) dirty.add(key);
		}
	}

	#guardService(key: string): void {
		const service = this.#parsed.get(key);
		const guarded = service ? guardAddresses(service, this.#guard) : { value: undefined, problems: [] };
		const value = this.#keep(`addresses of Service ${key}`, guarded);
		if (value) this.#services.set(key, value);
		else this.#services.delete(key);
	}

	#keep<T>(object: string, parsed: Parsed<T>): T {
		if (parsed.problems.length > 0) this.#problems.set(object, parsed.problems);
		else this.#problems.delete(object);
		return parsed.value;
	}
}
