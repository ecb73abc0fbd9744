import type { KubeObject } from '../port.ts';
import { expired } from './errors.ts';

/**
 * A committed write. For a deletion, `object` is the last state with the resourceVersion of the
 * deletion.
 */
export interface Change {
	revision: number;
	resource: string;
	key: string;
	type: 'ADDED' | 'MODIFIED' | 'DELETED';
	object: KubeObject;
	previous: KubeObject | undefined;
}

export interface StoreOptions {
	/** Number of changes kept for watches that resume. Older revisions get 410. */
	history: number;
	/** The resourceVersion before the first write. */
	firstRevision: number;
	/** Called with exceptions of listeners; default is a process warning. */
	onListenerError?: (error: unknown) => void;
}

/** NUL sorts before every character of a name, so keys sort by namespace and then by name. */
export const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}\0${name}`;

interface Table {
	objects: Map<string, KubeObject>;
	/** The keys in sort order. */
	sorted: string[];
}

type Listener = (change: Change) => void;

const warn = (error: unknown): void => process.emitWarning(error instanceof Error ? error : String(error));

function deepFreeze<T>(value: T): T {
	if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
		Object.freeze(value);
		for (const entry of Object.values(value)) deepFreeze(entry);
	}
	return value;
}

function lowerBound(keys: readonly string[], bound: string): number {
	let low = 0;
	let high = keys.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (keys[middle]! < bound) low = middle + 1;
		else high = middle;
	}
	return low;
}

/**
 * Stores objects by resource and key, with one revision counter and a window of past changes.
 * Stored objects are frozen and shared. Listeners run in commit order: a write from inside a
 * listener is delivered after all listeners have received the current change.
 */
export class Store {
	#revision: number;
	#compacted: number;
	readonly #window: number;
	readonly #onListenerError: (error: unknown) => void;
	readonly #tables = new Map<string, Table>();
	readonly #listeners = new Map<Listener, number>();
	readonly #queue: Change[] = [];
	#history: Change[] = [];
	#delivering = false;

	constructor(options: StoreOptions) {
		this.#revision = options.firstRevision;
		this.#compacted = options.firstRevision;
		this.#window = options.history;
		this.#onListenerError = options.onListenerError ?? warn;
	}

	get revision(): number {
		return this.#revision;
	}

	get(resource: string, key: string): KubeObject | undefined {
		return this.#tables.get(resource)?.objects.get(key);
	}

	/** Lists in key order. @param namespace undefined selects all. */
	list(resource: string, namespace?: string): KubeObject[] {
		const table = this.#tables.get(resource);
		if (!table) return [];
		const keys = table.sorted;
		const from = namespace === undefined ? 0 : lowerBound(keys, `${namespace}\0`);
		const to = namespace === undefined ? keys.length : lowerBound(keys, `${namespace}\x01`);
		return keys.slice(from, to).map((key) => table.objects.get(key)!);
	}

	resources(): string[] {
		return [...this.#tables.keys()];
	}

	/** Restores an object of an earlier process with its resourceVersion. Does not call listeners. */
	restore(resource: string, object: KubeObject): void {
		const table = this.#table(resource);
		const key = keyOf(object.metadata.namespace, object.metadata.name);
		if (!table.objects.has(key)) table.sorted.splice(lowerBound(table.sorted, key), 0, key);
		table.objects.set(key, deepFreeze(object));
	}

	/**
	 * Stores the object with the next resourceVersion and calls the listeners.
	 * @returns the stored object.
	 */
	put(resource: string, object: KubeObject): KubeObject {
		const table = this.#table(resource);
		const key = keyOf(object.metadata.namespace, object.metadata.name);
		const previous = table.objects.get(key);
		if (!previous) table.sorted.splice(lowerBound(table.sorted, key), 0, key);
		return this.#commit(resource, key, previous ? 'MODIFIED' : 'ADDED', object, previous);
	}

	remove(resource: string, key: string): KubeObject | undefined {
		const table = this.#table(resource);
		const previous = table.objects.get(key);
		if (!previous) return undefined;
		table.sorted.splice(lowerBound(table.sorted, key), 1);
		return this.#commit(resource, key, 'DELETED', { ...previous }, previous);
	}

	/**
	 * Changes after `revision`, oldest first.
	 * @throws ApiError 410 if `revision` precedes the window or is newer than the store.
	 */
	since(revision: number): readonly Change[] {
		if (revision < this.#compacted)
			throw expired(`too old resource version: ${revision} (${this.#compacted})`);
		if (revision > this.#revision)
			throw expired(`too large resource version: ${revision} (${this.#revision})`);
		let from = this.#history.length;
		while (from > 0 && this.#history[from - 1]!.revision > revision) from--;
		return this.#history.slice(from);
	}

	/** The list at `revision`: undoes later changes. @throws ApiError 410. */
	listAt(resource: string, namespace: string | undefined, revision: number): KubeObject[] {
		const later = this.since(revision);
		if (later.every((change) => change.resource !== resource)) return this.list(resource, namespace);
		const past = new Map(this.#tables.get(resource)?.objects);
		for (const change of later.toReversed()) {
			if (change.resource !== resource) continue;
			if (change.previous) past.set(change.key, change.previous);
			else past.delete(change.key);
		}
		return [...past]
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([, object]) => object)
			.filter((object) => namespace === undefined || object.metadata.namespace === namespace);
	}

	/** Calls the listener for each later change. @returns a function that unsubscribes. */
	subscribe(listener: Listener): () => void {
		// A new function, so that a listener subscribed twice has two subscriptions
		const own: Listener = (change) => listener(change);
		this.#listeners.set(own, this.#revision);
		return () => void this.#listeners.delete(own);
	}

	/** Runs a listener. Its exceptions neither undo a write nor reach the writer. */
	guard(listener: () => void): void {
		try {
			listener();
		} catch (error) {
			this.#onListenerError(error);
		}
	}

	/**
	 * Drops all past changes. A watch from an older resourceVersion gets 410, as after etcd's
	 * compaction.
	 */
	compact(): void {
		this.#history = [];
		this.#compacted = this.#revision;
	}

	#table(resource: string): Table {
		let table = this.#tables.get(resource);
		if (!table) {
			table = { objects: new Map(), sorted: [] };
			this.#tables.set(resource, table);
		}
		return table;
	}

	#commit(
		resource: string,
		key: string,
		type: Change['type'],
		object: KubeObject,
		previous: KubeObject | undefined,
	): KubeObject {
		const revision = ++this.#revision;
		object.metadata = { ...object.metadata, resourceVersion: String(revision) };
		deepFreeze(object);
		const table = this.#table(resource);
		if (type === 'DELETED') table.objects.delete(key);
		else table.objects.set(key, object);
		const change: Change = { revision, resource, key, type, object, previous };
		this.#remember(change);
		this.#queue.push(change);
		this.#deliver();
		return object;
	}

	#remember(change: Change): void {
		this.#history.push(change);
		// Trim in blocks: removing single entries would move the whole window each time
		if (this.#history.length > this.#window + (this.#window >> 2)) {
			this.#history = this.#history.slice(-this.#window);
			this.#compacted = this.#history[0]!.revision - 1;
		}
	}

	#deliver(): void {
		if (this.#delivering) return;
		this.#delivering = true;
		try {
			for (let change = this.#queue.shift(); change; change = this.#queue.shift()) {
				for (const [listener, from] of [...this.#listeners]) {
					if (change.revision <= from || !this.#listeners.has(listener)) continue;
					this.guard(() => listener(change));
				}
			}
		} finally {
			this.#delivering = false;
		}
	}
}
