/**
 * Types of the objects that the standalone mode serves, and the API server's interface for its
 * controllers, scheduler and nodes. Access is synchronous and in-process. It takes the same path as
 * an HTTP request (defaulting, allocation, validation, resourceVersion).
 */
import type {
	CoreV1Event,
	V1ClusterRole,
	V1ClusterRoleBinding,
	V1ConfigMap,
	V1ControllerRevision,
	V1DaemonSet,
	V1Deployment,
	V1EndpointSlice,
	V1Endpoints,
	V1IPAddress,
	V1Lease,
	V1Namespace,
	V1Node,
	V1ObjectMeta,
	V1OwnerReference,
	V1Pod,
	V1PodCondition,
	V1PodStatus,
	V1PodTemplateSpec,
	V1ReplicaSet,
	V1Role,
	V1RoleBinding,
	V1Scale,
	V1Secret,
	V1Service,
	V1ServiceAccount,
	V1ServiceCIDR,
	V1StatefulSet,
} from '@kubernetes/client-node';

/** A type of client-node as it is in JSON: timestamps are texts (RFC 3339). */
export type Json<T> = unknown extends T
	? unknown
	: T extends Date
		? string
		: T extends object
			? { [K in keyof T]: Json<T[K]> }
			: T;

/** An object that is not yet complete: each field may be absent. Defaulting works on it. */
export type Draft<T> = T extends readonly (infer E)[]
	? Draft<E>[]
	: T extends object
		? { [K in keyof T]?: Draft<T[K]> | undefined }
		: T;

export type ObjectMeta = Omit<Json<V1ObjectMeta>, 'name'> & { name: string };
export type OwnerReference = Json<V1OwnerReference>;

/** An object of any kind. */
export interface KubeObject {
	apiVersion?: string;
	kind?: string;
	metadata: ObjectMeta;
	spec?: unknown;
	status?: unknown;
	[field: string]: unknown;
}

/** An object of a known kind as the store holds it: defaulted and validated, so it has a spec. */
type Stored<T extends object> = {
	[K in keyof T as K extends 'metadata' | 'spec' ? never : K]: Json<T[K]>;
} & {
	metadata: ObjectMeta;
} & (T extends { spec?: infer Spec } ? { spec: Json<NonNullable<Spec>> } : unknown);

/** A written object before validation: any field but the metadata may be absent. */
export type Incoming<T> = Draft<Omit<T, 'metadata'>> & { metadata: ObjectMeta };

export type ClusterRole = Stored<V1ClusterRole>;
export type ClusterRoleBinding = Stored<V1ClusterRoleBinding>;
export type ConfigMap = Stored<V1ConfigMap>;
export type ControllerRevision = Stored<V1ControllerRevision>;
export type DaemonSet = Stored<V1DaemonSet>;
export type Deployment = Stored<V1Deployment>;
export type Endpoints = Stored<V1Endpoints>;
export type EndpointSlice = Stored<V1EndpointSlice>;
export type Event = Stored<CoreV1Event>;
export type IpAddress = Stored<V1IPAddress>;
export type Lease = Stored<V1Lease>;
export type Namespace = Stored<V1Namespace>;
export type Node = Stored<V1Node>;
/** A node writes a null probe time, like a kubelet. */
export type PodCondition = Omit<Json<V1PodCondition>, 'lastProbeTime'> & { lastProbeTime?: string | null };
export type PodStatus = Omit<Json<V1PodStatus>, 'conditions'> & { conditions?: PodCondition[] };
export type Pod = Omit<Stored<V1Pod>, 'status'> & { status?: PodStatus };
/** The template of a workload's pods. */
export type PodTemplate = Json<V1PodTemplateSpec>;
export type ReplicaSet = Stored<V1ReplicaSet>;
export type Role = Stored<V1Role>;
export type RoleBinding = Stored<V1RoleBinding>;
/** The scale subresource of a workload. The store holds no Scale objects. */
export type Scale = Stored<V1Scale>;
/** A user, group or service account of a binding. */
export type RbacSubject = NonNullable<RoleBinding['subjects']>[number];
export type Secret = Stored<V1Secret>;
export type Service = Stored<V1Service>;
export type ServiceAccount = Stored<V1ServiceAccount>;
export type ServiceCidr = Stored<V1ServiceCIDR>;
export type StatefulSet = Stored<V1StatefulSet>;

/** A Service before validation, and its parts. */
export type ServiceDraft = Incoming<Service>;
export type ServiceSpec = Service['spec'];
export type ServiceSpecDraft = Draft<ServiceSpec>;
export type ServicePortDraft = NonNullable<ServiceSpecDraft['ports']>[number];
/** The spec of a Pod or of a template before validation, and its containers. */
export type PodSpecDraft = Draft<Pod['spec']>;
export type ContainerDraft = NonNullable<PodSpecDraft['containers']>[number];

/** Types by resource: the lower-case plural. */
export interface Resources {
	clusterrolebindings: ClusterRoleBinding;
	clusterroles: ClusterRole;
	configmaps: ConfigMap;
	controllerrevisions: ControllerRevision;
	daemonsets: DaemonSet;
	deployments: Deployment;
	endpoints: Endpoints;
	endpointslices: EndpointSlice;
	events: Event;
	ipaddresses: IpAddress;
	leases: Lease;
	namespaces: Namespace;
	nodes: Node;
	pods: Pod;
	replicasets: ReplicaSet;
	rolebindings: RoleBinding;
	roles: Role;
	secrets: Secret;
	serviceaccounts: ServiceAccount;
	servicecidrs: ServiceCidr;
	services: Service;
	statefulsets: StatefulSet;
}

/** The type of a resource's objects. A resource that is known at run time only has any kind. */
export type ObjectOf<R extends string> = R extends keyof Resources ? Resources[R] : KubeObject;

export interface ObjectEvent<T = KubeObject> {
	type: 'ADDED' | 'MODIFIED' | 'DELETED';
	object: T;
}

/**
 * @param resource the lower-case plural: services, endpoints, endpointslices, pods, nodes,
 * deployments, ...
 */
export interface ObjectApi {
	get<R extends string>(resource: R, namespace: string | undefined, name: string): ObjectOf<R> | undefined;
	/** Sorted by namespace, then name. Objects are shared: callers must not modify them. */
	list<R extends string>(resource: R, namespace?: string): readonly ObjectOf<R>[];
	/** @throws ApiError (code, reason, message of the Status). */
	create<R extends string>(resource: R, object: ObjectOf<R>): ObjectOf<R>;
	/**
	 * Replaces an object. A resourceVersion in it must equal the stored one (409). An equal object
	 * causes no write and no event.
	 */
	update<R extends string>(resource: R, object: ObjectOf<R>, subresource?: 'status'): ObjectOf<R>;
	/**
	 * Deletes an object. A pod on a node first gets a deletionTimestamp; its node then deletes it
	 * with grace period 0. All other objects are deleted at once.
	 */
	delete(resource: string, namespace: string | undefined, name: string, gracePeriodSeconds?: number): void;
	/**
	 * Calls the listener for every existing object (ADDED), then for each change, in order.
	 * @returns a function that stops it.
	 */
	watch<R extends string>(resource: R, listener: (event: ObjectEvent<ObjectOf<R>>) => void): () => void;
}
