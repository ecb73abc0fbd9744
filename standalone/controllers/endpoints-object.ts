import type { V1EndpointAddress, V1EndpointSubset } from '@kubernetes/client-node';
import type { Endpoints, Json, Pod, Service } from '../port.ts';
import { belongs, hostnameOf, podAddress } from './endpoint.ts';
import { type EndpointPort, portsKey, portsOfPod, sortPorts } from './endpoint-ports.ts';
import { isReady } from './pod-state.ts';
import { familiesOf, isHeadless } from './service-info.ts';
import { HEADLESS_LABEL } from './slice-plan.ts';

const MAX_ADDRESSES = 1000;
const OVER_CAPACITY = 'endpoints.kubernetes.io/over-capacity';

type Address = Json<V1EndpointAddress>;
/** A subset of an Endpoints object. */
export type Subset = Json<V1EndpointSubset>;
/** A port of a subset. A user may omit its name and its protocol. */
export type SubsetPort = NonNullable<Subset['ports']>[number];

/**
 * Builds the v1 Endpoints object of the Service. It has only the first family and at most 1000
 * addresses, ready ones first. It excludes terminating pods unless the Service publishes pods that
 * are not ready.
 * @param before the stored object, whose other fields are kept.
 */
export function endpointsOf(
	service: Service,
	pods: readonly Pod[],
	before: Endpoints | undefined,
): Endpoints {
	const { namespace, name } = service.metadata;
	const { [OVER_CAPACITY]: _over, ...annotations } = before?.metadata.annotations ?? {};
	const labels = { ...service.metadata.labels };
	delete labels[HEADLESS_LABEL];
	if (isHeadless(service)) labels[HEADLESS_LABEL] = '';
	const subsets = subsetsOf(service, pods);
	const truncated = truncate(subsets);
	if (truncated !== subsets) annotations[OVER_CAPACITY] = 'truncated';
	return {
		apiVersion: 'v1',
		kind: 'Endpoints',
		metadata: { ...before?.metadata, name, namespace: namespace!, labels, annotations },
		subsets: truncated,
	};
}

function subsetsOf(service: Service, pods: readonly Pod[]): Subset[] {
	const family = familiesOf(service)[0] ?? 'IPv4';
	const publishAll = Boolean(service.spec?.publishNotReadyAddresses);
	const groups = new Map<string, { ports: EndpointPort[]; ready: Address[]; notReady: Address[] }>();
	for (const pod of pods) {
		const ip = belongs(pod, publishAll) ? podAddress(pod, family) : undefined;
		if (!ip) continue;
		const ports = portsOfPod(service, pod);
		if (ports.length === 0 && (service.spec?.ports?.length ?? 0) > 0) continue;
		const key = portsKey(ports);
		const group = groups.get(key) ?? { ports: sortPorts(ports), ready: [], notReady: [] };
		(publishAll || isReady(pod) ? group.ready : group.notReady).push(addressOf(service, pod, ip));
		groups.set(key, group);
	}
	return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => subset(group));
}

function subset(group: { ports: EndpointPort[]; ready: Address[]; notReady: Address[] }): Subset {
	return {
		...(group.ready.length > 0 ? { addresses: group.ready.toSorted(byIp) } : {}),
		...(group.notReady.length > 0 ? { notReadyAddresses: group.notReady.toSorted(byIp) } : {}),
		...(group.ports.length > 0 ? { ports: group.ports.map(withoutEmptyName) } : {}),
	};
}

/** Endpoints omit the name of an unnamed port; slices write it as an empty string. */
function withoutEmptyName(port: EndpointPort): SubsetPort {
	const { name, ...rest } = port;
	return name ? port : rest;
}

function byIp(a: Address, b: Address): number {
	return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0;
}

function addressOf(service: Service, pod: Pod, ip: string): Address {
	const hostname = hostnameOf(service, pod);
	const { namespace, name, uid } = pod.metadata;
	return {
		...(hostname ? { hostname } : {}),
		ip,
		...(pod.spec?.nodeName ? { nodeName: pod.spec.nodeName } : {}),
		targetRef: { kind: 'Pod', name, namespace: namespace!, ...(uid ? { uid } : {}) },
	};
}

function truncate(subsets: Subset[]): Subset[] {
	const count = (field: 'addresses' | 'notReadyAddresses') =>
		subsets.reduce((total, part) => total + (part[field]?.length ?? 0), 0);
	const ready = count('addresses');
	if (ready + count('notReadyAddresses') <= MAX_ADDRESSES) return subsets;
	let readyLeft = MAX_ADDRESSES;
	let otherLeft = Math.max(0, MAX_ADDRESSES - ready);
	return subsets.map((part) => {
		const addresses = part.addresses?.slice(0, readyLeft) ?? [];
		const notReadyAddresses = part.notReadyAddresses?.slice(0, otherLeft) ?? [];
		readyLeft -= addresses.length;
		otherLeft -= notReadyAddresses.length;
		return {
			...(addresses.length > 0 ? { addresses } : {}),
			...(notReadyAddresses.length > 0 ? { notReadyAddresses } : {}),
			...(part.ports ? { ports: part.ports } : {}),
		};
	});
}
