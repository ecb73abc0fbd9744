import { isDeepStrictEqual } from 'node:util';
import type { KubeObject, Namespace, ObjectApi, ObjectEvent, ObjectOf, Pod } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { warningEvent } from '../warning-event.ts';
import { Collector } from './collect.ts';
import { alreadyExists, badRequest, forbidden, invalid, noSuchPath, notFound } from './errors.ts';
import { invalidField } from './field-error.ts';
import {
	checkPreconditions,
	checkVersion,
	copy,
	finalizersOf,
	keepServerFields,
	SERVER_OWNED,
	splitStatus,
	withoutVersion,
} from './incoming.ts';
import { type Kind, kindOf } from './kinds.ts';
import { randomSuffix, validateMeta } from './meta.ts';
import { keyOf, type Store } from './store.ts';
import type { Allocation, Strategy } from './strategy.ts';

/** Options of a write. */
export interface WriteOptions {
	/** Runs all steps, but stores and allocates nothing. */
	dryRun?: boolean;
	subresource?: 'status';
}

/** `metav1.DeleteOptions`. */
export interface DeleteOptions extends WriteOptions {
	gracePeriodSeconds?: number | undefined;
	propagationPolicy?: 'Background' | 'Foreground' | 'Orphan' | undefined;
	preconditions?: { uid?: string; resourceVersion?: string } | undefined;
}

export interface ObjectsDeps {
	store: Store;
	strategies: ReadonlyMap<string, Strategy>;
	/** Milliseconds since the epoch. */
	clock: () => number;
	uid: () => string;
	random: () => number;
	/** Called if a stored object names an address or port that it cannot have. */
	onConflict?: (object: KubeObject, message: string) => void;
}

/** Namespaces that the admission plugin NamespaceLifecycle protects. */
const IMMORTAL: ReadonlySet<string> = new Set(['default', 'kube-public', 'kube-system']);
const FOREGROUND = 'foregroundDeletion';
const ORPHAN = 'orphan';
const ageKey = ({ resource, object }: { resource: string; object: KubeObject }): string =>
	`${resource === 'servicecidrs' ? 0 : 1} ${object.metadata.creationTimestamp}`;
const NO_ALLOCATION: Allocation = { commit() {}, rollback() {} };

/**
 * The only access to the store for writes. HTTP requests and in-process calls of controllers pass
 * the same defaulting, validation, allocation and resourceVersion check.
 *
 * The store holds objects of any kind. The first signature of a method gives them the type of
 * their resource.
 */
export class Objects implements ObjectApi {
	readonly #deps: ObjectsDeps;
	readonly #collector: Collector;

	constructor(deps: ObjectsDeps) {
		this.#deps = deps;
		this.#collector = new Collector(deps.store, this, deps.clock);
	}

	get store(): Store {
		return this.#deps.store;
	}

	kind(resource: string): Kind {
		const kind = kindOf(resource);
		if (!kind) throw noSuchPath();
		return kind;
	}

	get<R extends string>(resource: R, namespace: string | undefined, name: string): ObjectOf<R> | undefined;
	get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined {
		return this.store.get(resource, keyOf(namespace, name));
	}

	/** Like get. @throws ApiError 404. */
	mustGet<R extends string>(resource: R, namespace: string | undefined, name: string): ObjectOf<R> {
		const found = this.get(resource, namespace, name);
		if (!found) throw notFound(this.kind(resource), name);
		return found;
	}

	list<R extends string>(resource: R, namespace?: string): readonly ObjectOf<R>[];
	list(resource: string, namespace?: string): readonly KubeObject[] {
		return this.store.list(resource, namespace);
	}

	create<R extends string>(resource: R, input: ObjectOf<R>, options?: WriteOptions): ObjectOf<R>;
	create(resource: string, input: KubeObject, options: WriteOptions = {}): KubeObject {
		const kind = this.kind(resource);
		const strategy = this.#strategy(resource);
		const object = copy(kind, input);
		if (object.metadata.resourceVersion)
			throw badRequest('resourceVersion should not be set on objects to be created');
		this.#initialise(kind, object);
		strategy.defaults?.(object);
		strategy.prepareCreate?.(object);
		const faults = [...validateMeta(object, kind, strategy.name), ...(strategy.validate?.(object) ?? [])];
		if (faults.length > 0) throw invalid(kind, object.metadata.name ?? '', faults);
		if (kind.namespaced) this.#needNamespace(kind, object);
		if (this.get(resource, object.metadata.namespace, object.metadata.name))
			throw alreadyExists(kind, object.metadata.name);
		const allocation = strategy.allocate?.(object, undefined) ?? NO_ALLOCATION;
		return this.#store(resource, object, allocation, options);
	}

	update<R extends string>(resource: R, input: ObjectOf<R>, how?: 'status' | WriteOptions): ObjectOf<R>;
	update(resource: string, input: KubeObject, how: 'status' | WriteOptions = {}): KubeObject {
		const options: WriteOptions = how === 'status' ? { subresource: 'status' } : how;
		const kind = this.kind(resource);
		const strategy = this.#strategy(resource);
		const object = copy(kind, input);
		const old = this.mustGet(resource, object.metadata.namespace, object.metadata.name);
		checkVersion(kind, object, old);
		keepServerFields(object, old);
		splitStatus(kind, object, old, options.subresource);
		strategy.defaults?.(object);
		if (options.subresource !== 'status') strategy.prepareUpdate?.(object, old);
		if (kind.generation && !isDeepStrictEqual(object.spec, old.spec))
			object.metadata.generation = (old.metadata.generation ?? 0) + 1;
		if (isDeepStrictEqual(withoutVersion(object), withoutVersion(old))) return old;
		const faults = [
			...validateMeta(object, kind, strategy.name),
			...(strategy.validate?.(object) ?? []),
			...(strategy.validateUpdate?.(object, old) ?? []),
		];
		if (faults.length > 0) throw invalid(kind, object.metadata.name, faults);
		const allocates = options.subresource !== 'status' ? strategy.allocate : undefined;
		const allocation = allocates?.call(strategy, object, old) ?? NO_ALLOCATION;
		// With the allocated values, the object may equal the stored one
		if (isDeepStrictEqual(withoutVersion(object), withoutVersion(old))) {
			allocation.rollback();
			return old;
		}
		if (object.metadata.deletionTimestamp && !finalizersOf(object).length && this.#mayGo(resource, object)) {
			allocation.rollback();
			if (!options.dryRun) this.#remove(resource, old);
			return object;
		}
		return this.#store(resource, object, allocation, options);
	}

	delete(
		resource: string,
		namespace: string | undefined,
		name: string,
		how: number | DeleteOptions | undefined = {},
	): void {
		this.remove(resource, namespace, name, typeof how === 'number' ? { gracePeriodSeconds: how } : how);
	}

	/**
	 * Like delete.
	 * @returns the object if it is still stored (grace period or finalizers), else undefined.
	 */
	remove<R extends string>(
		resource: R,
		namespace: string | undefined,
		name: string,
		options: DeleteOptions = {},
	): ObjectOf<R> | undefined {
		const kind = this.kind(resource);
		const old = this.mustGet(resource, namespace, name);
		checkPreconditions(kind, old, options.preconditions);
		if (resource === 'namespaces' && IMMORTAL.has(name))
			throw forbidden(kind, name, 'this namespace may not be deleted');
		if (options.propagationPolicy === 'Orphan' && !options.dryRun) this.#collector.orphan(old);
		const finalizers = this.#finalizers(old, options);
		const grace = this.#grace(resource, old, options.gracePeriodSeconds);
		const waits = finalizers.length > 0 || grace > 0 || resource === 'namespaces';
		if (options.dryRun) return waits ? old : undefined;
		if (!waits) {
			this.#remove(resource, old);
			return undefined;
		}
		this.#markDeleted(resource, old, grace, finalizers);
		this.#strategy(resource).deleting?.(old);
		this.#collector.deleting(resource, old, finalizers);
		return this.get(resource, namespace, name);
	}

	watch<R extends string>(resource: R, listener: (event: ObjectEvent<ObjectOf<R>>) => void): () => void;
	watch(resource: string, listener: (event: ObjectEvent) => void): () => void {
		this.kind(resource);
		const stop = this.store.subscribe((change) => {
			if (change.resource === resource) listener({ type: change.type, object: change.object });
		});
		for (const object of this.store.list(resource))
			this.store.guard(() => listener({ type: 'ADDED', object }));
		return stop;
	}

	/**
	 * Stores an object without defaulting and validation. Claims the addresses in it that are free.
	 * Tests use it to store objects that an API server must reject.
	 */
	unsafePut<R extends string>(resource: R, input: KubeObject): ObjectOf<R>;
	unsafePut(resource: string, input: KubeObject): KubeObject {
		const kind = this.kind(resource);
		const object = copy(kind, input);
		const old = this.get(resource, object.metadata.namespace, object.metadata.name);
		object.metadata.uid = old?.metadata.uid ?? this.#deps.uid();
		object.metadata.creationTimestamp = old?.metadata.creationTimestamp ?? timestamp(this.#deps.clock());
		if (old) this.#strategy(resource).release?.(old);
		const stored = this.store.put(resource, object);
		this.#takeIn(resource, stored);
		return stored;
	}

	/**
	 * Restores the objects of an earlier process: feeds the allocators and the collector, and resumes
	 * pending deletions. Call it once, before all other writes.
	 */
	restore(entries: Iterable<{ resource: string; object: KubeObject }>): void {
		const known = [...entries].filter(({ resource }) => kindOf(resource));
		// The older of two objects with the same address keeps it. ServiceCIDRs precede the addresses
		// in them
		known.sort((a, b) => (ageKey(a) < ageKey(b) ? -1 : 1));
		for (const { resource, object } of known) this.store.restore(resource, object);
		for (const { resource, object } of known) this.#takeIn(resource, object);
		for (const { resource, object } of known)
			if (object.metadata.deletionTimestamp && this.#isStored(resource, object))
				this.#collector.deleting(resource, object, finalizersOf(object));
	}

	/**
	 * Removes an object from the store at once. The collector, its only caller, has handled the
	 * finalizers.
	 */
	removeStored(resource: string, old: KubeObject): void {
		this.#remove(resource, old);
	}

	/**
	 * Registers a stored object that skipped validation. A malformed object (unsafePut) must not
	 * block others.
	 */
	#takeIn(resource: string, object: KubeObject): void {
		this.store.guard(() => {
			this.#collector.stored(resource, object);
			this.#adopt(resource, object);
		});
	}

	/**
	 * Claims the addresses and ports of a stored object. Reports each conflict (held by another
	 * object, or out of range) in an Event.
	 */
	#adopt(resource: string, object: KubeObject): void {
		for (const conflict of this.#strategy(resource).adopt?.(object) ?? []) {
			const event = warningEvent(object, conflict, timestamp(this.#deps.clock()));
			const { namespace, name } = event.metadata;
			if (!this.get('events', namespace, name)) this.create('events', event);
			this.#deps.onConflict?.(object, conflict.message);
		}
	}

	#isStored(resource: string, { metadata }: KubeObject): boolean {
		return this.get(resource, metadata.namespace, metadata.name)?.metadata.uid === metadata.uid;
	}

	#strategy(resource: string): Strategy {
		return this.#deps.strategies.get(resource)!;
	}

	#initialise(kind: Kind, object: KubeObject): void {
		const meta = object.metadata;
		if (!meta.name && meta.generateName) meta.name = this.#generateName(kind, object);
		for (const field of SERVER_OWNED) if (field !== 'generateName') delete meta[field];
		meta.uid = this.#deps.uid();
		meta.creationTimestamp = timestamp(this.#deps.clock());
		if (kind.generation) meta.generation = 1;
	}

	#generateName(kind: Kind, object: KubeObject): string {
		for (let attempt = 0; attempt < 8; attempt++) {
			const name = `${object.metadata.generateName!.slice(0, 58)}${randomSuffix(this.#deps.random)}`;
			if (!this.get(kind.resource, object.metadata.namespace, name)) return name;
		}
		throw alreadyExists(kind, object.metadata.generateName!);
	}

	#needNamespace(kind: Kind, object: KubeObject): void {
		const name = object.metadata.namespace!;
		const namespace = this.get('namespaces', undefined, name);
		if (!namespace) throw notFound(this.kind('namespaces'), name);
		if (namespace.metadata.deletionTimestamp)
			throw forbidden(
				kind,
				object.metadata.name,
				`unable to create new content in namespace ${name} because it is being terminated`,
				[
					{
						reason: 'NamespaceTerminating',
						message: `namespace ${name} is being terminated`,
						field: 'metadata.namespace',
					},
				],
			);
	}

	#store(resource: string, object: KubeObject, allocation: Allocation, options: WriteOptions): KubeObject {
		if (options.dryRun) {
			allocation.rollback();
			return object;
		}
		allocation.commit();
		const stored = this.store.put(resource, object);
		this.#collector.stored(resource, stored);
		return stored;
	}

	#remove(resource: string, old: KubeObject): void {
		// Release before the watch event: a listener may create the successor with the same address at
		// once
		this.#strategy(resource).release?.(old);
		const removed = this.store.remove(resource, keyOf(old.metadata.namespace, old.metadata.name));
		if (removed) this.#collector.removed(removed);
	}

	#finalizers(old: KubeObject, options: DeleteOptions): string[] {
		const kept = finalizersOf(old).filter((entry) => entry !== FOREGROUND && entry !== ORPHAN);
		if (options.propagationPolicy === 'Foreground' && this.#collector.blockers(old).length > 0)
			kept.push(FOREGROUND);
		return kept;
	}

	/** The grace period in seconds. Only pods that run on a node have one. */
	#grace(resource: string, old: KubeObject, asked: number | undefined): number {
		if (asked !== undefined && asked < 0)
			throw invalid(this.kind(resource), old.metadata.name, [
				invalidField('gracePeriodSeconds', asked, 'must be greater than or equal to 0'),
			]);
		return resource === 'pods' ? podGrace(old as Pod, asked) : 0;
	}

	#mayGo(resource: string, object: KubeObject): boolean {
		if (resource === 'namespaces') return this.#collector.isEmpty(object.metadata.name);
		return !object.metadata.deletionGracePeriodSeconds;
	}

	#markDeleted(resource: string, old: KubeObject, grace: number, finalizers: string[]): void {
		const already = old.metadata.deletionTimestamp !== undefined;
		if (already && old.metadata.deletionGracePeriodSeconds === grace && resource !== 'namespaces') return;
		if (already && resource === 'namespaces') return;
		const object = structuredClone(old);
		object.metadata.deletionTimestamp = timestamp(this.#deps.clock() + grace * 1000);
		object.metadata.deletionGracePeriodSeconds = grace;
		if (finalizers.length > 0) object.metadata.finalizers = finalizers;
		else delete object.metadata.finalizers;
		if (resource === 'namespaces') object.status = { ...(object as Namespace).status, phase: 'Terminating' };
		this.store.put(resource, object);
	}
}

function podGrace({ metadata, spec, status }: Pod, asked: number | undefined): number {
	if (!spec?.nodeName) return 0;
	if (status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
	const wanted = asked ?? spec.terminationGracePeriodSeconds ?? 30;
	const running = metadata.deletionGracePeriodSeconds;
	return running === undefined ? wanted : Math.min(wanted, running);
}
