import type { KubeObject } from '../port.ts';
import { kindOf } from './kinds.ts';
import type { Store } from './store.ts';

interface Deleting {
	propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
}

/** Operations of the collector on objects. */
export interface Removal {
	get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
	remove(resource: string, namespace: string | undefined, name: string, options?: Deleting): unknown;
	/** Removes the object from the store, regardless of its finalizers. */
	removeStored(resource: string, object: KubeObject): unknown;
}

interface Place {
	resource: string;
	namespace: string | undefined;
	name: string;
}

interface Held extends Place {
	/** The owner's foreground deletion waits for this dependent (blockOwnerDeletion). */
	blocks: boolean;
}

/** Milliseconds. */
const EVENT_LIFE = 3_600_000;

/**
 * Garbage collection. A dependent is deleted with its last owner. A deleted namespace deletes its
 * contents first and is removed when it is empty. Foreground deletion waits for blocking
 * dependents.
 */
export class Collector {
	readonly #store: Store;
	readonly #objects: Removal;
	/** Owner uid -> dependent uid -> place of the dependent. */
	readonly #dependents = new Map<string, Map<string, Held>>();
	/** Dependent uid -> uids of the owners that list it. */
	readonly #owners = new Map<string, readonly string[]>();
	/** uids of all stored objects. An owner whose uid is missing here no longer exists. */
	readonly #uids = new Set<string>();
	readonly #counts = new Map<string, number>();
	/** Owners in foreground deletion, by uid. */
	readonly #waiting = new Map<string, Place>();

	readonly #clock: () => number;
	/** Events in the order of their last write, for expiry. */
	readonly #events = new Map<string, { held: Place; at: number }>();

	constructor(store: Store, objects: Removal, clock: () => number) {
		this.#clock = clock;
		this.#store = store;
		this.#objects = objects;
	}

	stored(resource: string, object: KubeObject): void {
		const uid = object.metadata.uid!;
		if (!this.#uids.has(uid)) {
			this.#uids.add(uid);
			this.#count(object, 1);
		}
		this.#index(resource, object);
		if (resource === 'events') this.#expireEvents(object);
		const owners = object.metadata.ownerReferences ?? [];
		if (owners.length > 0 && owners.every((owner) => !this.#uids.has(owner.uid)))
			setImmediate(() => this.#deleteIfOrphaned(resource, object));
	}

	removed(object: KubeObject): void {
		const uid = object.metadata.uid!;
		if (this.#uids.delete(uid)) this.#count(object, -1);
		const owners = this.#unlist(uid);
		for (const owner of owners) this.#finishForeground(owner);
		const dependents = [...(this.#dependents.get(uid)?.values() ?? [])];
		this.#dependents.delete(uid);
		for (const held of dependents) this.#deleteHeld(held, uid);
		if (object.metadata.namespace) this.#finishNamespace(object.metadata.namespace);
	}

	/** Called for an object that is marked for deletion and still stored. */
	deleting(resource: string, object: KubeObject, finalizers: readonly string[]): void {
		if (resource === 'namespaces') this.#emptyNamespace(object.metadata.name);
		if (!finalizers.includes('foregroundDeletion')) return;
		const { uid, namespace, name } = object.metadata;
		this.#waiting.set(uid!, { resource, namespace, name });
		for (const held of this.blockers(object)) this.#deleteHeld(held, uid!, 'Foreground');
		this.#finishForeground(uid!);
	}

	/** Dependents that block a foreground deletion. */
	blockers(owner: KubeObject): Held[] {
		return this.#heldBy(owner.metadata.uid!).filter(({ blocks }) => blocks);
	}

	#heldBy(owner: string): Held[] {
		return [...(this.#dependents.get(owner)?.values() ?? [])];
	}

	/** Removes the owner from the references of its dependents, so that they are kept. */
	orphan(owner: KubeObject): void {
		const { uid } = owner.metadata;
		for (const held of this.#heldBy(uid!)) {
			const dependent = this.#objects.get(held.resource, held.namespace, held.name);
			if (dependent) this.#letGo(held.resource, dependent, uid!);
		}
	}

	#letGo(resource: string, dependent: KubeObject, owner: string): void {
		const object = structuredClone(dependent);
		const left = object.metadata.ownerReferences?.filter(({ uid }) => uid !== owner) ?? [];
		if (left.length > 0) object.metadata.ownerReferences = left;
		else delete object.metadata.ownerReferences;
		this.#index(resource, this.#store.put(resource, object));
		this.#finishForeground(owner);
	}

	isEmpty(namespace: string): boolean {
		return (this.#counts.get(namespace) ?? 0) === 0;
	}

	#index(resource: string, object: KubeObject): void {
		const { uid, namespace, name, ownerReferences = [] } = object.metadata;
		const before = this.#unlist(uid!);
		for (const { uid: owner, blockOwnerDeletion } of ownerReferences) {
			const held = this.#dependents.get(owner) ?? new Map<string, Held>();
			held.set(uid!, { resource, namespace, name, blocks: blockOwnerDeletion === true });
			this.#dependents.set(owner, held);
		}
		const owners = ownerReferences.map((owner) => owner.uid);
		if (owners.length > 0) this.#owners.set(uid!, owners);
		for (const owner of before) if (!owners.includes(owner)) this.#finishForeground(owner);
	}

	/** @returns the owners that listed the dependent. */
	#unlist(uid: string): readonly string[] {
		const owners = this.#owners.get(uid) ?? [];
		this.#owners.delete(uid);
		for (const owner of owners) {
			const held = this.#dependents.get(owner);
			held?.delete(uid);
			if (held?.size === 0) this.#dependents.delete(owner);
		}
		return owners;
	}

	/** Events expire an hour after their last write, as with an API server's --event-ttl. */
	#expireEvents({ metadata: { namespace, name, uid } }: KubeObject): void {
		const now = this.#clock();
		this.#events.delete(uid!);
		this.#events.set(uid!, { held: { resource: 'events', namespace, name }, at: now });
		for (const [old, { held, at }] of this.#events) {
			if (at > now - EVENT_LIFE) break;
			this.#events.delete(old);
			const event = this.#objects.get('events', held.namespace, held.name);
			if (event?.metadata.uid === old) this.#objects.removeStored('events', event);
		}
	}

	#count(object: KubeObject, by: number): void {
		const namespace = object.metadata.namespace;
		if (namespace) this.#counts.set(namespace, (this.#counts.get(namespace) ?? 0) + by);
	}

	#deleteIfOrphaned(resource: string, object: KubeObject): void {
		const { namespace, name, uid } = object.metadata;
		const current = this.#objects.get(resource, namespace, name);
		const owners = current?.metadata.ownerReferences ?? [];
		if (current?.metadata.uid !== uid || owners.length === 0) return;
		if (owners.every((owner) => !this.#uids.has(owner.uid))) this.#objects.remove(resource, namespace, name);
	}

	/**
	 * Deletes a dependent. If another owner of it remains, only removes the reference.
	 * @param owner a deleted owner, or one in deletion.
	 */
	#deleteHeld(held: Held, owner: string, propagationPolicy?: 'Foreground'): void {
		const current = this.#objects.get(held.resource, held.namespace, held.name);
		const owners = current?.metadata.ownerReferences?.map(({ uid }) => uid) ?? [];
		if (!current || !owners.includes(owner)) return;
		const stays = (uid: string) => uid !== owner && this.#uids.has(uid) && !this.#waiting.has(uid);
		if (owners.some(stays)) this.#letGo(held.resource, current, owner);
		else if (!current.metadata.deletionTimestamp)
			this.#objects.remove(held.resource, held.namespace, held.name, { propagationPolicy });
	}

	#finishForeground(ownerUid: string): void {
		const held = this.#waiting.get(ownerUid);
		if (!held || this.#heldBy(ownerUid).some(({ blocks }) => blocks)) return;
		this.#waiting.delete(ownerUid);
		const owner = this.#objects.get(held.resource, held.namespace, held.name);
		if (owner?.metadata.uid !== ownerUid) return;
		const object = structuredClone(owner);
		const finalizers = object.metadata.finalizers!;
		const left = finalizers.filter((entry) => entry !== 'foregroundDeletion');
		if (left.length === 0) this.#objects.removeStored(held.resource, owner);
		else this.#store.put(held.resource, { ...object, metadata: { ...object.metadata, finalizers: left } });
	}

	#emptyNamespace(namespace: string): void {
		for (const resource of this.#store.resources()) {
			if (!kindOf(resource)?.namespaced) continue;
			for (const object of this.#store.list(resource, namespace)) {
				if (!this.#objects.get(resource, namespace, object.metadata.name)) continue;
				if (object.metadata.deletionTimestamp) continue;
				this.#objects.remove(resource, namespace, object.metadata.name);
			}
		}
		this.#finishNamespace(namespace);
	}

	#finishNamespace(name: string): void {
		const namespace = this.#objects.get('namespaces', undefined, name);
		if (!namespace?.metadata.deletionTimestamp || !this.isEmpty(name)) return;
		if (namespace.metadata.finalizers?.length) return;
		this.#objects.removeStored('namespaces', namespace);
	}
}
