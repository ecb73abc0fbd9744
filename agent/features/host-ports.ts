/** Passes host ports of this node's pods to the reconciler as if they were Services. */

import type { Sink } from '../base/sink.ts';
import type { RawSinks } from '../loop/reconcile-types.ts';
import { type HostPortObjects, hostPortObjects } from '../model/host-ports.ts';
import { isJson, type Json } from '../model/read.ts';
import type { EndpointsKind } from '../model/types.ts';

export class HostPorts {
	readonly #sinks: Pick<RawSinks, 'services' | 'endpoints'>;
	readonly #kind: EndpointsKind;
	readonly #pods = new Map<string, Json>();
	/** Objects that were passed on for a pod. */
	readonly #passed = new Map<string, readonly HostPortObjects[]>();
	#addresses: readonly string[] = [];
	/** Resources that have not been listed yet. */
	readonly #missing = new Set(['services', 'pods']);
	/** Reason why pods cannot be listed. */
	#forbidden: string | undefined;

	constructor(sinks: Pick<RawSinks, 'services' | 'endpoints'>, kind: EndpointsKind) {
		this.#sinks = sinks;
		this.#kind = kind;
	}

	/** Sink for the pods of this node. */
	readonly pods: Sink = {
		upsert: (key, pod) => {
			if (!isJson(pod)) return;
			this.#pods.set(key, pod);
			this.#pass(key);
		},
		remove: (key) => {
			this.#pods.delete(key);
			this.#pass(key);
		},
		listed: () => {
			this.#forbidden = undefined;
			this.#listed('pods');
		},
		// Services do not wait for a permission that only host ports need
		forbidden: (why) => {
			this.#forbidden = why;
			if (this.#missing.has('pods')) this.#listed('pods');
		},
	};

	/** Reason why host ports are not served, with the remedy; undefined: they are served. */
	get degradation(): string | undefined {
		if (this.#forbidden === undefined) return undefined;
		return `Host ports are not served: ${this.#forbidden}; allow the agent to list and watch pods, or set --host-ports=off`;
	}

	/**
	 * Sink for Services. They count as listed after the pods only: otherwise host ports would be
	 * missing for a moment after a start.
	 */
	get services(): Sink {
		const { services } = this.#sinks;
		return { ...services, listed: () => this.#listed('services') };
	}

	setNodeAddresses(addresses: readonly string[]): void {
		if (addresses.join() === this.#addresses.join()) return;
		this.#addresses = addresses;
		for (const key of this.#pods.keys()) this.#pass(key);
	}

	#listed(what: string): void {
		this.#missing.delete(what);
		if (this.#missing.size === 0) this.#sinks.services.listed();
	}

	#pass(key: string): void {
		const { services, endpoints } = this.#sinks;
		const pod = this.#pods.get(key);
		const before = this.#passed.get(key) ?? [];
		const after = pod ? hostPortObjects(pod, this.#addresses, this.#kind) : [];
		// Most pods have no host ports, and most updates of a pod's status change none
		if (JSON.stringify(before) === JSON.stringify(after)) return;
		const gone = before.filter((old) => !after.some((one) => one.key === old.key));
		for (const old of gone) {
			services.remove(old.key);
			for (const [source] of old.sources) endpoints.remove(source);
		}
		for (const { key: name, service, sources } of after) {
			for (const [source, object] of sources) endpoints.upsert(source, object);
			services.upsert(name, service);
		}
		if (after.length > 0) this.#passed.set(key, after);
		else this.#passed.delete(key);
	}
}
