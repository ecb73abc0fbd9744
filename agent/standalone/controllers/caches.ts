import type { KubeObject, ObjectApi } from '../port.ts';
import type { Cache } from './cache.ts';
import { createCache, labelValue } from './cache.ts';
import { controllerOf } from './meta.ts';

/** What all controllers share: one cache a resource, so that each of them sees the others' writes at once. */
export interface Caches {
	pods: Cache;
	services: Cache;
	nodes: Cache;
	deployments: Cache;
	replicasets: Cache;
	statefulsets: Cache;
	daemonsets: Cache;
	endpoints: Cache;
	endpointslices: Cache;
}

export function createCaches(api: ObjectApi): Caches {
	return {
		pods: createCache(api, 'pods', { label: labelsOf, owner: ownersOf, node: nodeOf }),
		services: createCache(api, 'services', { selector: selectorTermOf }),
		nodes: createCache(api, 'nodes'),
		deployments: createCache(api, 'deployments'),
		replicasets: createCache(api, 'replicasets', { owner: ownersOf, selector: selectorTermOf }),
		statefulsets: createCache(api, 'statefulsets', { selector: selectorTermOf }),
		daemonsets: createCache(api, 'daemonsets', { selector: selectorTermOf }),
		endpoints: createCache(api, 'endpoints'),
		endpointslices: createCache(api, 'endpointslices', { owner: ownersOf, service: serviceOf }),
	};
}

function* labelsOf(object: KubeObject): Iterable<string> {
	for (const [key, value] of Object.entries(object.metadata.labels ?? {}))
		yield labelValue(object.metadata.namespace, key, value);
}

/** uid of the managing owner. */
function ownersOf(object: KubeObject): string[] {
	const owner = controllerOf(object);
	return owner ? [owner.uid] : [];
}

function nodeOf(pod: KubeObject): string[] {
	return [pod.spec?.nodeName ?? ''];
}

/** One term of the selector is enough to find a Service or a workload from a pod's labels. */
function selectorTermOf({ kind, metadata, spec }: KubeObject): string[] {
	const labels: Record<string, string> | undefined =
		kind === 'Service' ? spec?.selector : spec?.selector?.matchLabels;
	const term = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))[0];
	return term ? [labelValue(metadata.namespace, term[0], term[1])] : [];
}

export const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

function serviceOf(slice: KubeObject): string[] {
	const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
	return service ? [`${slice.metadata.namespace}/${service}`] : [];
}
