/**
 * An object from the API server without the fields that maglane never reads. Otherwise unchecked.
 */
export interface RawObject {
	readonly metadata: RawMeta;
	readonly spec?: unknown;
	readonly status?: unknown;
	readonly [field: string]: unknown;
}

export interface RawMeta {
	readonly name: string;
	readonly namespace?: string;
	readonly uid?: string;
	readonly resourceVersion?: string;
	readonly [field: string]: unknown;
}

export interface Resource {
	/** Lower-case plural, as in the path. */
	readonly name:
		| 'services'
		| 'endpointslices'
		| 'endpoints'
		| 'nodes'
		| 'namespaces'
		| 'pods'
		| 'servicecidrs';
	readonly path: string;
	/** labelSelector or fieldSelector of every list and watch. */
	readonly selector: Readonly<Record<string, string>>;
	/** Drops unused fields in place. */
	trim(object: Record<string, unknown>): void;
}

/**
 * Excludes Services that another proxy, or none, serves (kubernetes cmd/kube-proxy/app/server.go).
 */
const OURS = {
	labelSelector: '!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name',
};

export const SERVICES: Resource = {
	name: 'services',
	path: '/api/v1/services',
	selector: OURS,
	trim: trimMeta,
};

export const ENDPOINT_SLICES: Resource = {
	name: 'endpointslices',
	path: '/apis/discovery.k8s.io/v1/endpointslices',
	selector: OURS,
	trim(object) {
		trimMeta(object);
		for (const endpoint of list(object['endpoints'])) {
			drop(endpoint, ['targetRef', 'deprecatedTopology']);
		}
	},
};

export const ENDPOINTS: Resource = {
	name: 'endpoints',
	path: '/api/v1/endpoints',
	selector: OURS,
	trim(object) {
		trimMeta(object);
		for (const subset of list(object['subsets'])) {
			for (const field of ['addresses', 'notReadyAddresses']) {
				for (const address of list(subset[field])) drop(address, ['targetRef']);
			}
		}
	},
};

export const NAMESPACES: Resource = {
	name: 'namespaces',
	path: '/api/v1/namespaces',
	selector: {},
	trim(object) {
		trimMeta(object);
		drop(object, ['spec', 'status']);
	},
};

/** Pods of the agent's node, reduced to the fields for host ports. */
export function podsOfNode(name: string): Resource {
	return {
		name: 'pods',
		path: '/api/v1/pods',
		selector: { fieldSelector: `spec.nodeName=${name}` },
		trim(object) {
			trimMeta(object);
			const { spec, status } = object;
			if (isRecord(spec))
				object['spec'] = {
					hostNetwork: spec['hostNetwork'],
					nodeName: spec['nodeName'],
					containers: list(spec['containers']).map(({ ports }) => ({ ports })),
				};
			if (isRecord(status)) object['status'] = { phase: status['phase'], podIPs: status['podIPs'] };
		},
	};
}

/**
 * All objects of a resource, including those that maglane does not proxy: they have DNS names too.
 */
export function everyOne(resource: Resource): Resource {
	return { ...resource, selector: {} };
}

export const SERVICE_CIDRS: Resource = {
	name: 'servicecidrs',
	path: '/apis/networking.k8s.io/v1/servicecidrs',
	selector: {},
	trim: trimMeta,
};

/**
 * Only the agent's own node: the agent needs no more rights, and the cost does not grow with the
 * cluster.
 */
export function ownNode(name: string): Resource {
	return {
		name: 'nodes',
		path: '/api/v1/nodes',
		selector: { fieldSelector: `metadata.name=${name}` },
		trim(object) {
			trimMeta(object);
			if (isRecord(object['status'])) {
				drop(object['status'], ['images', 'conditions', 'volumesInUse', 'volumesAttached', 'nodeInfo']);
			}
		},
	};
}

/**
 * Annotations in use. Others may be large (last-applied-configuration contains the whole object).
 */
const ANNOTATIONS = new Set([
	'endpoints.kubernetes.io/last-change-trigger-time',
	'service.kubernetes.io/topology-mode',
	'service.kubernetes.io/topology-aware-hints',
]);

function trimMeta(object: Record<string, unknown>): void {
	const meta = object['metadata'];
	if (!isRecord(meta)) return;
	drop(meta, ['managedFields', 'ownerReferences', 'finalizers', 'selfLink', 'generateName']);
	const annotations = meta['annotations'];
	if (isRecord(annotations)) {
		meta['annotations'] = Object.fromEntries(
			Object.entries(annotations).filter(([name]) => ANNOTATIONS.has(name)),
		);
	}
}

function drop(object: Record<string, unknown>, fields: readonly string[]): void {
	for (const field of fields) delete object[field];
}

function list(value: unknown): Record<string, unknown>[] {
	return Array.isArray(value) ? value.filter(isRecord) : [];
}

export function isRecord(value: unknown): value is Record<string, unknown> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `namespace/name`, or just the name for a cluster-scoped object. */
export function keyOf(meta: RawMeta): string {
	return meta.namespace ? `${meta.namespace}/${meta.name}` : meta.name;
}

/** @returns undefined when the value has no valid name or namespace. */
export function asObject(value: unknown): RawObject | undefined {
	if (!isRecord(value) || !isRecord(value['metadata'])) return undefined;
	const { name, namespace } = value['metadata'];
	if (typeof name !== 'string' || name === '') return undefined;
	if (namespace !== undefined && typeof namespace !== 'string') return undefined;
	return value as RawObject;
}
