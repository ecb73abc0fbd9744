/**
 * The API server's interface for controllers, scheduler and nodes of the standalone mode. Access is
 * synchronous and in-process. It takes the same path as an HTTP request (defaulting, allocation,
 * validation, resourceVersion).
 */
export interface ObjectMeta {
	name: string;
	namespace?: string;
	uid?: string;
	resourceVersion?: string;
	generation?: number;
	creationTimestamp?: string;
	deletionTimestamp?: string;
	deletionGracePeriodSeconds?: number;
	generateName?: string;
	labels?: Record<string, string>;
	annotations?: Record<string, string>;
	ownerReferences?: OwnerReference[];
	[field: string]: unknown;
}

export interface OwnerReference {
	apiVersion: string;
	kind: string;
	name: string;
	uid: string;
	controller?: boolean;
	blockOwnerDeletion?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: the fields depend on the kind of the object
export type Fields = any;

export interface KubeObject {
	apiVersion?: string;
	kind?: string;
	metadata: ObjectMeta;
	spec?: Fields;
	status?: Fields;
	[field: string]: Fields;
}

export interface ObjectEvent {
	type: 'ADDED' | 'MODIFIED' | 'DELETED';
	object: KubeObject;
}

/**
 * @param resource the lower-case plural: services, endpoints, endpointslices, pods, nodes,
 * deployments, ...
 */
export interface ObjectApi {
	get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
	/** Sorted by namespace, then name. Objects are shared: callers must not modify them. */
	list(resource: string, namespace?: string): readonly KubeObject[];
	/** @throws ApiError (code, reason, message of the Status). */
	create(resource: string, object: KubeObject): KubeObject;
	/**
	 * Replaces an object. A resourceVersion in it must equal the stored one (409). An equal object
	 * causes no write and no event.
	 */
	update(resource: string, object: KubeObject, subresource?: 'status'): KubeObject;
	/**
	 * Deletes an object. A pod on a node first gets a deletionTimestamp; its node then deletes it
	 * with grace period 0. All other objects are deleted at once.
	 */
	delete(resource: string, namespace: string | undefined, name: string, gracePeriodSeconds?: number): void;
	/**
	 * Calls the listener for every existing object (ADDED), then for each change, in order.
	 * @returns a function that stops it.
	 */
	watch(resource: string, listener: (event: ObjectEvent) => void): () => void;
}
