import type { ServiceSpecDraft } from '../port.ts';

/** Predicates on a Service's spec, shared by defaulting, validation and allocation. */

export const NONE = 'None';

export const isHeadless = (spec: ServiceSpecDraft): boolean =>
	spec.clusterIPs?.[0] === NONE || spec.clusterIP === NONE;

export const hasSelector = (spec: ServiceSpecDraft): boolean => Object.keys(spec.selector ?? {}).length > 0;

/** Whether the type has a ClusterIP or `None`: every type except ExternalName. */
export const needsClusterIp = (spec: ServiceSpecDraft): boolean =>
	spec.type === 'ClusterIP' || spec.type === 'NodePort' || spec.type === 'LoadBalancer';

export const mayHaveNodePorts = (spec: ServiceSpecDraft): boolean =>
	spec.type === 'NodePort' || spec.type === 'LoadBalancer';

export const needsNodePorts = (spec: ServiceSpecDraft): boolean =>
	spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false);

export const needsHealthCheckPort = (spec: ServiceSpecDraft): boolean =>
	spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';

export const isExternallyAccessible = (spec: ServiceSpecDraft): boolean =>
	mayHaveNodePorts(spec) || (spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0);
