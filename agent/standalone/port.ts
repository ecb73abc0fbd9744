/**
 * What the controllers, the scheduler and the node side of the standalone mode know of the API server:
 * synchronous, in-process access that takes the same path as an HTTP request (defaulting, allocation,
 * validation, resourceVersion), without the HTTP.
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

// biome-ignore lint/suspicious/noExplicitAny: objects of all kinds; each user reads the fields of its kind
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

/** `resource` is the lower-case plural: services, endpoints, endpointslices, pods, nodes, deployments, ... */
export interface ObjectApi {
	get(resource: string, namespace: string | undefined, name: string): KubeObject | undefined;
	/** Sorted by namespace, then name. Objects are shared: read, never write. */
	list(resource: string, namespace?: string): readonly KubeObject[];
	/** @throws ApiError (code, reason, message of the Status). */
	create(resource: string, object: KubeObject): KubeObject;
	/** Replaces; a resourceVersion in the object must be the stored one (409). No change: no write, no event. */
	update(resource: string, object: KubeObject, subresource?: 'status'): KubeObject;
	/**
	 * Pods on a node get a deletionTimestamp first and go when their node deletes them with grace period 0;
	 * everything else goes at once.
	 */
	delete(resource: string, namespace: string | undefined, name: string, gracePeriodSeconds?: number): void;
	/** Calls the listener for every object there is (ADDED), then for each change, in order. @returns stop. */
	watch(resource: string, listener: (event: ObjectEvent) => void): () => void;
}
