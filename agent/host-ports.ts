/** Host ports of this node's pods, passed to the reconciler as if they were Services. */
import { type HostPortObjects, hostPortObjects } from './model/host-ports.ts';
import { isJson, type Json } from './model/read.ts';
import type { EndpointsKind } from './model/store.ts';
import type { RawSink, RawSinks } from './reconcile-types.ts';

export class HostPorts {
	readonly #sinks: Pick<RawSinks, 'services' | 'endpoints'>;
	readonly #kind: EndpointsKind;
	readonly #pods = new Map<string, Json>();
	/** What was passed on for a pod. */
	readonly #passed = new Map<string, readonly HostPortObjects[]>();
	#addresses: readonly string[] = [];
	/** Of Services and pods, which have not been listed yet. */
	readonly #missing = new Set(['services', 'pods']);

	constructor(sinks: Pick<RawSinks, 'services' | 'endpoints'>, kind: EndpointsKind) {
		this.#sinks = sinks;
		this.#kind = kind;
	}

	/** Takes the pods of this node. */
	readonly pods: RawSink = {
		upsert: (key, pod) => {
			if (!isJson(pod)) return;
			this.#pods.set(key, pod);
			this.#pass(key);
		},
		remove: (key) => {
			this.#pods.delete(key);
			this.#pass(key);
		},
		listed: () => this.#listed('pods'),
	};

	/** Takes Services: they are complete when the pods are, or host ports would be missed for a moment at a start. */
	get services(): RawSink {
		const { services } = this.#sinks;
		return {
			upsert: (key, object) => services.upsert(key, object),
			remove: (key) => services.remove(key),
			listed: () => this.#listed('services'),
		};
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
		// Most pods have none, and most changes of a pod's status change none
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
