/** An object as the API server sent it, less the fields that maglane never reads. Nothing else is checked. */
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
	/** Drops what is never read; the object is ours and may be changed. */
	trim(object: Record<string, unknown>): void;
}

/** Services whose proxying is someone else's, or nobody's (kubernetes cmd/kube-proxy/app/server.go). */
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

/** Pods of the node that the agent runs on, less all but what host ports need. */
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

/** All objects of a resource, those too that are not ours to proxy: they have names all the same. */
export function everyOne(resource: Resource): Resource {
	return { ...resource, selector: {} };
}

export const SERVICE_CIDRS: Resource = {
	name: 'servicecidrs',
	path: '/apis/networking.k8s.io/v1/servicecidrs',
	selector: {},
	trim: trimMeta,
};

/** The node that the agent runs on, and no other: the agent's rights need no more, and 5000 nodes cost nothing. */
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

/** Annotations that are read; the others may be large (last-applied-configuration holds the whole object). */
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

/** `namespace/name`, or the name of what has no namespace. */
export function keyOf(meta: RawMeta): string {
	return meta.namespace ? `${meta.namespace}/${meta.name}` : meta.name;
}

/** @returns undefined when the value lacks what identifies an object. */
export function asObject(value: unknown): RawObject | undefined {
	if (!isRecord(value) || !isRecord(value['metadata'])) return undefined;
	const { name, namespace } = value['metadata'];
	if (typeof name !== 'string' || name === '') return undefined;
	if (namespace !== undefined && typeof namespace !== 'string') return undefined;
	return value as RawObject;
}
