import { type Cidr, nodePortAddresses } from './cidr.ts';
import { parseEndpointSlice, parseEndpoints } from './endpoints.ts';
import type { Ip } from './ip.ts';
import { parseNode, unknownNode } from './node.ts';
import { parseService } from './service.ts';
import type { EndpointSource, Node, Parsed, Problem, Service } from './types.ts';

export type EndpointsKind = 'endpointslices' | 'endpoints';

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
	};
	readonly #touched = new Set<string>();
	readonly #services = new Map<string, Service>();
	readonly #sources = new Map<string, EndpointSource>();
	/** Service key -> keys of its sources. */
	readonly #sourcesOf = new Map<string, Set<string>>();
	readonly #problems = new Map<string, readonly Problem[]>();
	readonly #cidrs: readonly Cidr[] | undefined;
	#local: readonly Ip[] = [];
	#node: Node;

	/** @param cidrs where NodePorts are served; undefined: at the node's primary addresses */
	constructor(nodeName: string, cidrs?: readonly Cidr[]) {
		this.#node = unknownNode(nodeName);
		this.#cidrs = cidrs;
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

	get dirty(): boolean {
		const { services, sources, node, local } = this.#pending;
		const touched = this.#touched.size > 0;
		return touched || services.size > 0 || sources.size > 0 || node !== undefined || local !== undefined;
	}

	get node(): Node {
		return this.#node;
	}

	get services(): ReadonlyMap<string, Service> {
		return this.#services;
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
		const { services, sources, node, local } = this.#pending;
		for (const [key, raw] of services) this.#readService(key, raw, dirty);
		for (const [key, raw] of sources) this.#readSource(key, raw, dirty);
		this.#local = local ?? this.#local;
		if (node || local) this.#readNode(node, dirty);
		services.clear();
		sources.clear();
		this.#pending.node = undefined;
		this.#pending.local = undefined;
		return dirty;
	}

	#readService(key: string, raw: unknown, dirty: Set<string>): void {
		dirty.add(key);
		if (raw === undefined) {
			this.#services.delete(key);
			this.#problems.delete(`Service ${key}`);
			return;
		}
		this.#services.set(key, this.#keep(`Service ${key}`, parseService(raw, key)));
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
		const after = node ? this.#keep('Node', parseNode(node.raw, before.name)) : before;
		const chosen = this.#cidrs && nodePortAddresses(this.#cidrs, this.#local);
		this.#node = chosen ? { ...after, nodePortAddresses: chosen } : after;
		const text = ({ nodePortAddresses }: Node) => nodePortAddresses.map((ip) => ip.text).join();
		const moved = before.zone !== this.#node.zone;
		if (!moved && text(before) === text(this.#node)) return;
		for (const [key, service] of this.#services) {
			if (moved || service.ports.some((port) => port.nodePort !== 0)) dirty.add(key);
		}
	}

	#keep<T>(object: string, parsed: Parsed<T>): T {
		if (parsed.problems.length > 0) this.#problems.set(object, parsed.problems);
		else this.#problems.delete(object);
		return parsed.value;
	}
}
