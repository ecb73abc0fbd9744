import type { Sink } from '../base/sink.ts';
import type { EndpointSource } from '../model/types.ts';
import { type DnsService, parseDnsService } from './service.ts';
import type { Zone } from './zone.ts';

/** Updates a zone from the API watches. Parses Services only in update(). */
export class Feed {
	readonly #zone: Zone;
	/** Unparsed Services; undefined means deleted. */
	readonly #raw = new Map<string, unknown>();
	readonly #services = new Map<string, DnsService>();
	#namespacesListed = false;
	#updated = false;
	readonly #changed: () => void;

	/** @param changed called when the zone is complete */
	constructor(zone: Zone, changed: () => void) {
		this.#zone = zone;
		this.#changed = changed;
	}

	/** Whether everything has been listed once and is in the zone. */
	get synced(): boolean {
		return this.#namespacesListed && this.#updated;
	}

	readonly namespaces: Sink = {
		upsert: (name) => this.#zone.setNamespace(name, true),
		remove: (name) => this.#zone.setNamespace(name, false),
		listed: () => {
			const first = !this.#namespacesListed;
			this.#namespacesListed = true;
			if (first && this.synced) this.#changed();
		},
	};

	/** Wraps a sink to record Services, whose names change at the next update(). */
	services(sink: Sink): Sink {
		return {
			...sink,
			upsert: (key, object) => {
				this.#raw.set(key, object);
				sink.upsert(key, object);
			},
			remove: (key) => {
				this.#raw.set(key, undefined);
				sink.remove(key);
			},
		};
	}

	/** Updates the names of Services. After the first call, all Services count as known. */
	update(keys: Iterable<string>, sources: (service: string) => Iterable<EndpointSource>): void {
		for (const [key, raw] of this.#raw) {
			if (raw === undefined) this.#services.delete(key);
			else this.#services.set(key, parseDnsService(raw, key));
		}
		this.#raw.clear();
		for (const key of keys) this.#zone.setService(key, this.#services.get(key), sources(key));
		const first = !this.#updated;
		this.#updated = true;
		if (first && this.synced) this.#changed();
	}
}
