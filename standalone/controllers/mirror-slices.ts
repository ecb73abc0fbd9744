import type { EndpointSlice, Endpoints, Service } from '../port.ts';
import { SERVICE_NAME_LABEL } from './caches.ts';
import type { Endpoint } from './endpoint.ts';
import { type EndpointPort, portsKey } from './endpoint-ports.ts';
import type { Subset, SubsetPort } from './endpoints-object.ts';
import { controllerRef } from './meta.ts';
import { type Family, familyOf, selectorOf } from './service-info.ts';
import {
	type Group,
	MANAGED_BY_LABEL,
	merge,
	planGroups,
	recycle,
	type SlicePlan,
	type SliceShape,
} from './slice-plan.ts';

export const MIRROR_CONTROLLER = 'endpointslicemirroring-controller.k8s.io';
export const SKIP_MIRROR_LABEL = 'endpointslice.kubernetes.io/skip-mirror';
const LEADER_ANNOTATION = 'control-plane.alpha.kubernetes.io/leader';
const MAX_MIRRORED_PER_SUBSET = 1000;

/**
 * Whether to mirror the Endpoints: the Service has no selector, and no label or annotation excludes
 * them.
 */
export function isMirrored(endpoints: Endpoints | undefined, service: Service | undefined): boolean {
	if (!endpoints || !service || selectorOf(service)) return false;
	const { labels, annotations } = endpoints.metadata;
	return labels?.[SKIP_MIRROR_LABEL] !== 'true' && annotations?.[LEADER_ANNOTATION] === undefined;
}

/** Plans slices equivalent to the Endpoints: one for each family and set of ports. */
export function planMirror(endpoints: Endpoints, existing: readonly EndpointSlice[]): SlicePlan {
	const plans = (['IPv4', 'IPv6'] as const).map((family) => {
		const shape = shapeOf(endpoints, family);
		const slices = existing.filter((slice) => slice.addressType === family);
		return recycle(planGroups(slices, groupsOf(endpoints, family), shape), shape.labels);
	});
	return merge(plans);
}

function groupsOf(endpoints: Endpoints, family: Family): Map<string, Group> {
	const groups = new Map<string, Group>();
	for (const subset of endpoints.subsets ?? []) {
		const ports = (subset.ports ?? []).map(normalPort);
		const group = groups.get(portsKey(ports)) ?? { ports, endpoints: [] };
		const seen = new Set(group.endpoints.flatMap(({ addresses }) => addresses));
		for (const endpoint of endpointsOfSubset(subset)) {
			const ip = endpoint.addresses[0]!;
			if (familyOf(ip) !== family || seen.has(ip) || group.endpoints.length >= MAX_MIRRORED_PER_SUBSET)
				continue;
			seen.add(ip);
			group.endpoints.push(endpoint);
		}
		if (group.endpoints.length > 0) groups.set(portsKey(ports), group);
	}
	return groups;
}

function normalPort(port: SubsetPort): EndpointPort {
	return { ...port, name: port.name ?? '', protocol: port.protocol ?? 'TCP' };
}

function* endpointsOfSubset(subset: Subset): Iterable<Endpoint> {
	for (const [addresses, ready] of [
		[subset.addresses ?? [], true],
		[subset.notReadyAddresses ?? [], false],
	] as const)
		for (const { ip, hostname, nodeName, targetRef } of addresses)
			yield {
				addresses: [ip],
				conditions: { ready },
				...(hostname ? { hostname } : {}),
				...(nodeName ? { nodeName } : {}),
				...(targetRef ? { targetRef } : {}),
			};
}

function shapeOf(endpoints: Endpoints, family: Family): SliceShape {
	const { namespace, name } = endpoints.metadata;
	const labels = {
		...endpoints.metadata.labels,
		[MANAGED_BY_LABEL]: MIRROR_CONTROLLER,
		[SERVICE_NAME_LABEL]: name,
	};
	const make: SliceShape['make'] = (ports, parts) => ({
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: '',
			generateName: `${name}-`,
			namespace: namespace!,
			labels,
			ownerReferences: [controllerRef(endpoints, 'v1', 'Endpoints')],
		},
		addressType: family,
		endpoints: parts,
		ports,
	});
	return { labels, make, limit: MAX_MIRRORED_PER_SUBSET };
}
