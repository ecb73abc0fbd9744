/** An access to the API, as an authorizer evaluates it (authorization.k8s.io/v1). */
import type { User } from './user.ts';

/** Fields are empty where the request has no such part. */
export interface ResourceAccess {
	readonly kind: 'resource';
	/**
	 * get, list, watch, create, update, patch, delete, deletecollection, bind, escalate or
	 * impersonate.
	 */
	readonly verb: string;
	readonly group: string;
	readonly resource: string;
	readonly subresource: string;
	/** Empty for a cluster-scoped resource and for all namespaces. */
	readonly namespace: string;
	readonly name: string;
}

/** A path without a resource, such as /version. */
export interface PathAccess {
	readonly kind: 'path';
	/** The HTTP method in lower case. */
	readonly verb: string;
	readonly path: string;
}

export type Access = ResourceAccess | PathAccess;

export interface Decision {
	readonly allowed: boolean;
	/** The binding that allows the access, for reviews; empty if denied. */
	readonly reason: string;
}

/** A rule of a Role or ClusterRole (rbac.authorization.k8s.io/v1). */
export interface PolicyRule {
	readonly verbs: readonly string[];
	readonly apiGroups?: readonly string[];
	readonly resources?: readonly string[];
	readonly resourceNames?: readonly string[];
	readonly nonResourceURLs?: readonly string[];
}

export interface Authorizer {
	authorize(user: User, access: Access): Decision;
	/** All rules that apply to the user in the namespace, including cluster-wide rules. */
	rulesOf(user: User, namespace: string): readonly PolicyRule[];
}
