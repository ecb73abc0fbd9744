import type { V1Endpoint, V1EndpointConditions } from '@kubernetes/client-node';
import type { Json, Node, Pod, Service } from '../port.ts';
import { isTerminating } from './meta.ts';
import { isFinished, isReady } from './pod-state.ts';
import { type Family, familyOf } from './service-info.ts';

/** An endpoint of a discovery.k8s.io/v1 EndpointSlice, as the controllers write it. */
export type Endpoint = Json<V1Endpoint> & { conditions: Json<V1EndpointConditions> };

/** The zones and nodes that should use an endpoint. */
export type Hints = NonNullable<Endpoint['hints']>;

export const ZONE_LABEL = 'topology.kubernetes.io/zone';

/** The pod's first address of the family. */
export function podAddress(pod: Pod, family: Family): string | undefined {
	const listed = pod.status?.podIPs ?? [];
	const ips = listed.length > 0 ? listed.map(({ ip }) => ip) : [pod.status?.podIP];
	return ips.find((ip) => ip && familyOf(ip) === family);
}

/**
 * Whether a pod is an endpoint: it has an address and has not ended. Terminating pods count only on
 * request.
 */
export function belongs(pod: Pod, includeTerminating: boolean): boolean {
	const addressed = Boolean(pod.status?.podIP) || (pod.status?.podIPs?.length ?? 0) > 0;
	return addressed && !isFinished(pod) && (includeTerminating || !isTerminating(pod));
}

/** @param node the pod's node, which determines the zone. */
export function endpointOf(service: Service, pod: Pod, address: string, node: Node | undefined): Endpoint {
	const serving = isReady(pod);
	const terminating = isTerminating(pod);
	const ready = Boolean(service.spec?.publishNotReadyAddresses) || (serving && !terminating);
	const { namespace, name, uid } = pod.metadata;
	const hostname = hostnameOf(service, pod);
	const zone = node?.metadata.labels?.[ZONE_LABEL];
	return {
		addresses: [address],
		conditions: { ready, serving, terminating },
		...(hostname ? { hostname } : {}),
		...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
		targetRef: { kind: 'Pod', namespace: namespace!, name, ...(uid ? { uid } : {}) },
		...(zone ? { zone } : {}),
	};
}

/** The hostname of a pod whose subdomain is the Service's name; undefined for all others. */
export function hostnameOf(service: Service, pod: Pod): string | undefined {
	const { hostname, subdomain } = pod.spec ?? {};
	const named = hostname && subdomain === service.metadata.name;
	return named && pod.metadata.namespace === service.metadata.namespace ? hostname : undefined;
}
