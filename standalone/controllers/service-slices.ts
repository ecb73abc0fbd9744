import type { EndpointSlice, Node, Pod, Service } from '../port.ts';
import { SERVICE_NAME_LABEL } from './caches.ts';
import { belongs, endpointOf, podAddress } from './endpoint.ts';
import { withHints } from './endpoint-hints.ts';
import { portsKey, portsOfPod } from './endpoint-ports.ts';
import { controllerRef } from './meta.ts';
import { type Family, familiesOf, isHeadless } from './service-info.ts';
import {
	type Group,
	HEADLESS_LABEL,
	hasLabels,
	MANAGED_BY_LABEL,
	merge,
	planGroups,
	recycle,
	type SlicePlan,
	type SliceShape,
} from './slice-plan.ts';
import type { ZoneShares } from './zone-shares.ts';

export const SLICE_CONTROLLER = 'endpointslice-controller.k8s.io';
export const MAX_ENDPOINTS_PER_SLICE = 100;

export interface SliceInput {
	service: Service;
	/** Pods that the Service selects. */
	pods: readonly Pod[];
	nodeOf: (pod: Pod) => Node | undefined;
	/** Zone shares for Services with topology-mode Auto. */
	shares?: ZoneShares | undefined;
	/** The controller's slices of the Service, for all families. */
	existing: readonly EndpointSlice[];
	/** Maximum number of endpoints in a slice. */
	limit?: number;
}

/**
 * Plans the slices of every family of the Service. Each family has at least one slice, without
 * endpoints if there are none.
 */
export function planSlices(input: SliceInput): SlicePlan {
	const families = familiesOf(input.service);
	const foreign = input.existing.filter((slice) => !families.some((family) => family === slice.addressType));
	return merge([
		{ create: [], update: [], remove: foreign },
		...families.map((family) => planFamily(input, family)),
	]);
}

function planFamily(input: SliceInput, family: Family): SlicePlan {
	const shape = shapeOf(input.service, family, input.limit ?? MAX_ENDPOINTS_PER_SLICE);
	const existing = input.existing.filter((slice) => slice.addressType === family);
	const plan = planGroups(existing, groupByPorts(input, family), shape);
	return recycle(keepOne(plan, existing.length, shape), shape.labels);
}

function groupByPorts({ service, pods, nodeOf, shares }: SliceInput, family: Family): Map<string, Group> {
	const found = pods.flatMap((pod) => {
		const address = belongs(pod, true) ? podAddress(pod, family) : undefined;
		return address ? [{ pod, endpoint: endpointOf(service, pod, address, nodeOf(pod)) }] : [];
	});
	const hinted = withHints(
		service,
		found.map(({ endpoint }) => endpoint),
		shares,
	);
	const groups = new Map<string, Group>();
	for (const [i, { pod }] of found.entries()) {
		const ports = portsOfPod(service, pod);
		const key = portsKey(ports);
		const group = groups.get(key) ?? { ports, endpoints: [] };
		group.endpoints.push(hinted[i]!);
		groups.set(key, group);
	}
	return groups;
}

/** Keeps or creates an empty slice for a Service without endpoints. */
function keepOne(plan: SlicePlan, existing: number, shape: SliceShape): SlicePlan {
	if (existing > plan.remove.length || plan.create.length > 0) return plan;
	const empty = (slice: EndpointSlice) => !slice.endpoints?.length && !slice.ports?.length;
	const kept = plan.remove.find((slice) => empty(slice) && hasLabels(slice, shape.labels));
	if (kept) return { ...plan, remove: plan.remove.filter((slice) => slice !== kept) };
	return { ...plan, create: [shape.make([], [])] };
}

function shapeOf(service: Service, family: Family, limit: number): SliceShape {
	const labels = sliceLabels(service);
	const make: SliceShape['make'] = (ports, endpoints) => ({
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: '',
			generateName: `${service.metadata.name}-`,
			namespace: service.metadata.namespace!,
			labels,
			ownerReferences: [controllerRef(service, 'v1', 'Service')],
		},
		addressType: family,
		endpoints,
		ports,
	});
	return { labels, make, limit };
}

/** Labels of the slices: the Service's labels without slice labels, and the slice labels. */
function sliceLabels(service: Service): Record<string, string> {
	const { [HEADLESS_LABEL]: _headless, ...labels } = service.metadata.labels ?? {};
	return {
		...labels,
		...(isHeadless(service) ? { [HEADLESS_LABEL]: '' } : {}),
		[MANAGED_BY_LABEL]: SLICE_CONTROLLER,
		[SERVICE_NAME_LABEL]: service.metadata.name,
	};
}
