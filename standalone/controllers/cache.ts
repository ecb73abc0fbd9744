import type { KubeObject, ObjectApi, ObjectOf, Resources } from '../port.ts';
import { errorCode, keyFor } from './meta.ts';

/** Called on every change. `before` is undefined for a new object, `after` for a deleted one. */
export type ChangeListener<T> = (before: T | undefined, after: T | undefined) => void;

/** All objects of one resource, with indexes. Controllers write through the cache. */
export interface Cache<T extends KubeObject = KubeObject> {
	get(key: string): T | undefined;
	/** Objects with the value in the index, in no particular order. */
	by(index: string, value: string): T[];
	countBy(index: string, value: string): number;
	all(): Iterable<T>;
	subscribe(listener: ChangeListener<T>): void;
	create(object: T): T;
	update(object: T, subresource?: 'status'): T;
	/** Deletes an object. An object that does not exist is no error. */
	delete(object: T, gracePeriodSeconds?: number): void;
	/** Starts to watch. Subscribe before. */
	start(signal: AbortSignal): void;
}

export type Indexers<T> = Record<string, (object: T) => Iterable<string>>;

/**
 * A watch event only triggers a read of the object from the API, so order and delay of events do
 * not matter. Each write refreshes the cache. A controller thus sees its own writes at once and
 * needs no expectations, unlike kube-controller-manager.
 */
export function createCache<R extends keyof Resources>(
	api: ObjectApi,
	resource: R,
	indexers: Indexers<ObjectOf<R>> = {},
): Cache<ObjectOf<R>> {
	type T = ObjectOf<R>;
	const objects = new Map<string, T>();
	const indexes = new Map(Object.keys(indexers).map((name) => [name, new Map<string, Set<string>>()]));
	const listeners: ChangeListener<T>[] = [];

	function reindex(key: string, object: T, change: 'add' | 'remove'): void {
		for (const [name, indexer] of Object.entries(indexers)) {
			const index = indexes.get(name)!;
			for (const value of indexer(object)) {
				const keys = index.get(value) ?? new Set();
				if (change === 'add') index.set(value, keys.add(key));
				else if (keys.delete(key) && keys.size === 0) index.delete(value);
			}
		}
	}

	function refresh(namespace: string | undefined, name: string): void {
		const key = keyFor(namespace, name);
		const before = objects.get(key);
		const after = api.get(resource, namespace, name);
		if (before === after || (before && after && sameVersion(before, after))) return;
		if (before) reindex(key, before, 'remove');
		if (after) {
			objects.set(key, after);
			reindex(key, after, 'add');
		} else objects.delete(key);
		for (const listener of listeners) listener(before, after);
	}

	function written(object: T): T {
		refresh(object.metadata.namespace, object.metadata.name);
		return object;
	}

	return {
		get: (key) => objects.get(key),
		by: (index, value) => [...(indexes.get(index)!.get(value) ?? [])].map((key) => objects.get(key)!),
		countBy: (index, value) => indexes.get(index)!.get(value)?.size ?? 0,
		all: () => objects.values(),
		subscribe: (listener) => void listeners.push(listener),
		create: (object) => written(api.create(resource, object)),
		update: (object, subresource) => written(api.update(resource, object, subresource)),
		delete(object, gracePeriodSeconds) {
			const { namespace, name } = object.metadata;
			try {
				api.delete(resource, namespace, name, gracePeriodSeconds);
			} catch (error) {
				if (errorCode(error) !== 404) throw error;
			}
			refresh(namespace, name);
		},
		start(signal) {
			if (signal.aborted) return;
			const stop = api.watch(resource, ({ object }) =>
				refresh(object.metadata.namespace, object.metadata.name),
			);
			signal.addEventListener('abort', stop, { once: true });
		},
	};
}

function sameVersion(a: KubeObject, b: KubeObject): boolean {
	return a.metadata.resourceVersion === b.metadata.resourceVersion && a.metadata.uid === b.metadata.uid;
}

/** The index value of a label in a namespace. */
export function labelValue(namespace: string | undefined, label: string, value: string): string {
	return `${namespace ?? ''}\n${label}\n${value}`;
}
