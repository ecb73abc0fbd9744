import { type Cidr, cidrText, nodePortAddresses } from '../model/cidr.ts';
import { parseEndpointSlice, parseEndpoints } from '../model/endpoints.ts';
import { type Guard, guardAddresses, usableServiceCidrs } from '../model/guard.ts';
import type { Ip } from '../model/ip.ts';
import { parseNode, unknownNode } from '../model/node.ts';
import { parseService } from '../model/service.ts';
import { parseServiceCidr } from '../model/service-cidr.ts';
import type { EndpointSource, EndpointsKind, Node, Parsed, Problem, Service } from '../model/types.ts';

export interface StoreOptions {
	readonly nodeName: string;
	/** Ranges of node addresses that serve NodePorts; undefined: the node's primary addresses. */
	readonly nodePortCidrs?: readonly Cidr[] | undefined;
	/** Ranges allowed for externalIPs; undefined: all addresses that are not reserved. */
	readonly externalCidrs?: readonly Cidr[] | undefined;
	/** Addresses at which the agent reaches the API server. */
	readonly apiServers?: readonly Ip[] | undefined;
	/** Ranges of ClusterIPs from the configuration. */
	readonly serviceCidrs?: readonly Cidr[] | undefined;
	/** Largest number of ranges of ClusterIPs. */
	readonly serviceCidrLimit: number;
}

/** The API server's own Service: its endpoints are API servers. */
const API_SERVICE = 'default/kubernetes';

/**
 * Objects of the API server, and their changes since the last take(). Setters only store the raw
 * object; take() reads it, so of several changes in a row only the last one costs anything.
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
	/** Services as read; #services has them without the addresses that the guard refuses. */
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
	/** The guard's addresses and ranges when all Services were last checked. */
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

	/** An EndpointSlice or Endpoints, depending on endpointsKind. @param raw undefined: it is gone */
	setEndpoints(key: string, raw: unknown): void {
		this.#pending.sources.set(key, raw);
	}

	/** The agent's own Node. @param raw undefined: it is gone, and its last state stays */
	setNode(raw: unknown): void {
		if (raw !== undefined) this.#pending.node = { raw };
	}

	/** Marks a Service as changed although no object changed. */
	touch(service: string): void {
		this.#touched.add(service);
	}

	/** Sets all addresses of the node's devices. */
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

	/** Ranges that contain only ClusterIPs. */
	get serviceCidrs(): readonly Cidr[] {
		return this.#guard.serviceCidrs;
	}

	/** Endpoint objects of a Service, in a stable order. */
	sources(service: string): EndpointSource[] {
		const keys = [...(this.#sourcesOf.get(service) ?? [])].sort();
		return keys.map((key) => this.#sources.get(key)!);
	}

	/** Problems of the current objects. */
	problems(): Problem[] {
		return [...this.#problems.values()].flat();
	}

	/** Reads the changes. @returns keys of Services whose meaning may have changed. */
	take(): Set<string> {
		const dirty = new Set(this.#touched);
		this.#touched.clear();
		const { services, sources, node, local, cidrs } = this.#pending;
		for (const [key, raw] of services) this.#read(`Service ${key}`, () => this.#readService(key, raw, dirty));
		for (const [key, raw] of sources) this.#read(`endpoints ${key}`, () => this.#readSource(key, raw, dirty));
		this.#local = local ?? this.#local;
		for (const [key, raw] of cidrs) this.#read(`ServiceCIDR ${key}`, () => this.#readServiceCidr(key, raw));
		if (node || local) this.#read('Node', () => this.#readNode(node, dirty));
		if (node || local || cidrs.size > 0 || dirty.has(API_SERVICE))
			this.#read('ServiceCIDR', () => this.#readGuard(dirty));
		for (const key of dirty) this.#read(`addresses of Service ${key}`, () => this.#guardService(key));
		services.clear();
		sources.clear();
		cidrs.clear();
		this.#pending.node = undefined;
		this.#pending.local = undefined;
		return dirty;
	}

	/** An object that cannot be read keeps its state, and does not block the others. */
	#read(name: string, read: () => void): void {
		try {
			read();
		} catch (error) {
			const why = error instanceof Error ? error.message : String(error);
			const message = `is not read: ${why}; the agent serves what it was before. This is a fault of maglane: report it`;
			this.#problems.set(name, [{ object: name, field: '', message }]);
		}
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
		const parse = this.endpointsKind === 'endpoints' ? parseEndpoints : parseEndpointSlice;
		const source = raw === undefined ? undefined : this.#keep(`endpoints ${key}`, parse(raw, key));
		const before = this.#sources.get(key)?.service;
		if (before !== undefined) {
			dirty.add(before);
			const keys = this.#sourcesOf.get(before);
			keys?.delete(key);
			if (keys?.size === 0) this.#sourcesOf.delete(before);
		}
		if (source === undefined) {
			this.#sources.delete(key);
			this.#problems.delete(`endpoints ${key}`);
			return;
		}
		this.#sources.set(key, source);
		if (source.service === undefined) return;
		dirty.add(source.service);
		const keys = this.#sourcesOf.get(source.service) ?? new Set();
		this.#sourcesOf.set(source.service, keys.add(key));
	}

	/**
	 * Services with NodePorts change with the node's addresses, all Services with its zone.
	 * @param node undefined: unchanged
	 */
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

	/** Updates the guard. A change marks Services with external or load balancer addresses. */
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
