import type { EndpointSource } from '../model/types.ts';
import { type DnsService, parseDnsService } from './service.ts';
import type { Zone } from './zone.ts';

/** What a watch of the API delivers to. */
export interface FeedSink {
	upsert(key: string, object: unknown): void;
	remove(key: string): void;
	listed(): void;
}

/** Keeps a zone at what the API's watches say. Services are read when their names are looked at anew, not before. */
export class Feed {
	readonly #zone: Zone;
	/** Services before they are read; undefined: gone. */
	readonly #raw = new Map<string, unknown>();
	readonly #services = new Map<string, DnsService>();
	#namespacesListed = false;
	#updated = false;
	readonly #changed: () => void;

	/** @param changed told when the zone is whole */
	constructor(zone: Zone, changed: () => void) {
		this.#zone = zone;
		this.#changed = changed;
	}

	/** Everything has been listed once, and is in the zone. */
	get synced(): boolean {
		return this.#namespacesListed && this.#updated;
	}

	readonly namespaces: FeedSink = {
		upsert: (name) => this.#zone.setNamespace(name, true),
		remove: (name) => this.#zone.setNamespace(name, false),
		listed: () => {
			const first = !this.#namespacesListed;
			this.#namespacesListed = true;
			if (first && this.synced) this.#changed();
		},
	};

	/** The same sink; the names of Services follow it when update() says which. */
	services(sink: FeedSink): FeedSink {
		return {
			upsert: (key, object) => {
				this.#raw.set(key, object);
				sink.upsert(key, object);
			},
			remove: (key) => {
				this.#raw.set(key, undefined);
				sink.remove(key);
			},
			listed: () => sink.listed(),
		};
	}

	/** Gives Services the names that they have now. The first call says that all are known. */
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
