import { parseEndpointSlice, parseEndpoints } from './endpoints.ts';
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
	};
	readonly #services = new Map<string, Service>();
	readonly #sources = new Map<string, EndpointSource>();
	/** Service key -> keys of its sources. */
	readonly #sourcesOf = new Map<string, Set<string>>();
	readonly #problems = new Map<string, readonly Problem[]>();
	#node: Node;

	constructor(nodeName: string) {
		this.#node = unknownNode(nodeName);
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

	get dirty(): boolean {
		const { services, sources, node } = this.#pending;
		return services.size > 0 || sources.size > 0 || node !== undefined;
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
		const dirty = new Set<string>();
		const { services, sources, node } = this.#pending;
		for (const [key, raw] of services) this.#readService(key, raw, dirty);
		for (const [key, raw] of sources) this.#readSource(key, raw, dirty);
		if (node) this.#readNode(node.raw, dirty);
		services.clear();
		sources.clear();
		this.#pending.node = undefined;
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

	/** NodePorts are at the node's addresses; hints are read by the node's zone. */
	#readNode(raw: unknown, dirty: Set<string>): void {
		const before = this.#node;
		this.#node = this.#keep('Node', parseNode(raw, before.name));
		const text = (node: Node) => node.addresses.map((ip) => ip.text).join();
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
