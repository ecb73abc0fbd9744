import { canonicalIp, familyOf } from '../alloc/ip-range.ts';
import type {
	ControllerRevision,
	DaemonSet,
	Deployment,
	EndpointSlice,
	Endpoints,
	KubeObject,
	Node,
	ObjectApi,
	Pod,
	ReplicaSet,
	Service,
	StatefulSet,
} from '../port.ts';
import type { Cache } from './cache.ts';
import { createCache, labelValue } from './cache.ts';
import { controllerOf } from './meta.ts';
import type { Labels } from './selector.ts';

/**
 * The caches that all controllers share, one for each resource. Each controller thus sees the
 * writes of all others at once.
 */
export interface Caches {
	pods: Cache<Pod>;
	services: Cache<Service>;
	nodes: Cache<Node>;
	deployments: Cache<Deployment>;
	replicasets: Cache<ReplicaSet>;
	statefulsets: Cache<StatefulSet>;
	daemonsets: Cache<DaemonSet>;
	controllerrevisions: Cache<ControllerRevision>;
	endpoints: Cache<Endpoints>;
	endpointslices: Cache<EndpointSlice>;
}

export function createCaches(api: ObjectApi): Caches {
	return {
		pods: createCache(api, 'pods', { label: labelsOf, owner: ownersOf, node: nodeOf }),
		services: createCache(api, 'services', {
			selector: serviceTermOf,
			type: typeOf,
			ingress: ingressOf,
		}),
		nodes: createCache(api, 'nodes'),
		deployments: createCache(api, 'deployments', { selector: selectorTermOf }),
		replicasets: createCache(api, 'replicasets', {
			label: labelsOf,
			owner: ownersOf,
			selector: selectorTermOf,
		}),
		statefulsets: createCache(api, 'statefulsets', { selector: selectorTermOf }),
		daemonsets: createCache(api, 'daemonsets', { selector: selectorTermOf }),
		controllerrevisions: createCache(api, 'controllerrevisions', { label: labelsOf, owner: ownersOf }),
		endpoints: createCache(api, 'endpoints'),
		endpointslices: createCache(api, 'endpointslices', { owner: ownersOf, service: serviceOf }),
	};
}

function* labelsOf(object: KubeObject): Iterable<string> {
	for (const [key, value] of Object.entries(object.metadata.labels ?? {}))
		yield labelValue(object.metadata.namespace, key, value);
}

/** The uid of the managing owner. */
function ownersOf(object: KubeObject): string[] {
	const owner = controllerOf(object);
	return owner ? [owner.uid] : [];
}

function typeOf(service: Service): string[] {
	return [service.spec?.type ?? ''];
}

/** Canonical addresses in the status of a LoadBalancer Service. */
function ingressOf({ spec, status }: Service): string[] {
	if (spec?.type !== 'LoadBalancer') return [];
	const ingress = status?.loadBalancer?.ingress ?? [];
	return ingress.flatMap(({ ip }) => (ip && familyOf(ip) ? [canonicalIp(ip)] : []));
}

function nodeOf(pod: Pod): string[] {
	return [pod.spec?.nodeName ?? ''];
}

/** Key in the index `selector` for workloads whose selector has only expressions. */
export const NO_LABELS: [label: string, value: string] = ['', ''];

function selectorTermOf({ metadata, spec }: Deployment | ReplicaSet | StatefulSet | DaemonSet): string[] {
	const byExpressions = (spec?.selector?.matchExpressions?.length ?? 0) > 0;
	return termOf(metadata.namespace, spec?.selector?.matchLabels, byExpressions);
}

function serviceTermOf({ metadata, spec }: Service): string[] {
	return termOf(metadata.namespace, spec?.selector, false);
}

/**
 * Indexes one term of the selector. That is enough to find a Service or a workload by a pod's
 * labels.
 */
function termOf(namespace: string | undefined, labels: Labels | undefined, byExpressions: boolean): string[] {
	const term = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))[0];
	if (!term && !byExpressions) return [];
	const [label, value] = term ?? NO_LABELS;
	return [labelValue(namespace, label, value)];
}

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

function serviceOf(slice: EndpointSlice): string[] {
	const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
	return service ? [`${slice.metadata.namespace}/${service}`] : [];
}
