import type { EndpointSlice, Endpoints, Pod, Service } from '../port.ts';
import { labelValue } from './cache.ts';
import type { ControllerContext } from './context.ts';
import { ZONE_LABEL } from './endpoint.ts';
import { spreadsByZone } from './endpoint-hints.ts';
import { endpointsOf } from './endpoints-object.ts';
import { byName, canonical, isTerminating, keyOf } from './meta.ts';
import type { WorkQueue } from './queue.ts';
import { matchesLabels, selectByLabels } from './selector.ts';
import { selectorOf, selectsPods } from './service-info.ts';
import { planSlices, SLICE_CONTROLLER } from './service-slices.ts';
import { applySlices, triggered } from './slice-apply.ts';
import { MANAGED_BY_LABEL } from './slice-plan.ts';
import { shareOf, zoneShares } from './zone-shares.ts';

/**
 * Services with a selector -> Endpoints and EndpointSlices. One sync writes both, so that they
 * agree.
 */
export function startEndpoints(ctx: ControllerContext): WorkQueue {
	const { services, pods, nodes, endpoints, endpointslices } = ctx.caches;
	const queue = ctx.queue('endpoints', (key, since) => syncService(ctx, key, since));
	services.subscribe((before, after) => queue.add(keyOf((after ?? before)!)));
	endpoints.subscribe((before, after) => queue.add(keyOf((after ?? before)!)));
	endpointslices.subscribe((before, after) => {
		const slice = (after ?? before)!;
		const service = isOurs(slice) ? slice.metadata.labels?.['kubernetes.io/service-name'] : undefined;
		if (service) queue.add(`${slice.metadata.namespace}/${service}`);
	});
	const addServicesOf = (pod: Pod) => {
		for (const service of servicesSelecting(ctx, pod)) queue.add(keyOf(service));
	};
	pods.subscribe((before, after) => {
		if (before && after && canonical(relevant(before)) === canonical(relevant(after))) return;
		if (before) addServicesOf(before);
		if (after) addServicesOf(after);
	});
	nodes.subscribe((before, after) => {
		const node = (after ?? before)!;
		if (canonical(shareOf(before)) !== canonical(shareOf(after)))
			for (const service of [...services.all()].filter(spreadsByZone)) queue.add(keyOf(service));
		if (before?.metadata.labels?.[ZONE_LABEL] === after?.metadata.labels?.[ZONE_LABEL]) return;
		for (const pod of pods.by('node', node.metadata.name)) addServicesOf(pod);
	});
	return queue;
}

/** The fields of a pod that affect endpoints. */
function relevant({ metadata, spec, status }: Pod): unknown[] {
	const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
	const { nodeName, hostname, subdomain, containers, initContainers } = spec ?? {};
	const ports = [...(containers ?? []), ...(initContainers ?? [])].map(({ ports }) => ports);
	const deleted = metadata.deletionTimestamp !== undefined;
	return [
		[metadata.uid, metadata.labels, deleted, nodeName, hostname, subdomain, ports],
		[status?.podIP, status?.podIPs, status?.phase, ready],
	];
}

/** Looks up Services by one selector term and then matches their whole selector. */
function servicesSelecting(ctx: ControllerContext, pod: Pod): Service[] {
	const { namespace, labels = {} } = pod.metadata;
	return Object.entries(labels)
		.flatMap(([key, value]) => ctx.caches.services.by('selector', labelValue(namespace, key, value)))
		.filter((service) => matchesLabels(selectorOf(service) ?? {}, labels));
}

function isOurs(slice: EndpointSlice): boolean {
	return slice.metadata.labels?.[MANAGED_BY_LABEL] === SLICE_CONTROLLER;
}

function syncService(ctx: ControllerContext, key: string, since: number): void {
	const { services, endpoints, endpointslices } = ctx.caches;
	const service = services.get(key);
	const existing = endpointslices.by('service', key).filter(isOurs).sort(byName);
	const stored = endpoints.get(key);
	if (!service || !selectsPods(service)) {
		for (const slice of existing) endpointslices.delete(slice);
		// A user manages the Endpoints of a Service without selector.
		if (stored && (!service || service.spec?.type === 'ExternalName')) endpoints.delete(stored);
		return;
	}
	if (isTerminating(service)) return;
	const pods = selectByLabels(ctx.caches.pods, service.metadata.namespace, selectorOf(service)!).sort(byName);
	const nodeOf = (pod: Pod) => ctx.caches.nodes.get(pod.spec?.nodeName ?? '');
	const { current, others } = splitByOwner(existing, service);
	const shares = spreadsByZone(service) ? zoneShares([...ctx.caches.nodes.all()]) : undefined;
	applySlices(ctx, planSlices({ service, pods, nodeOf, shares, existing: current }), since);
	for (const slice of others) endpointslices.delete(slice);
	writeEndpoints(ctx, endpointsOf(service, pods, stored), stored, since);
}

/** Separates slices of an earlier Service with the same name, which this Service must not reuse. */
function splitByOwner(slices: EndpointSlice[], service: Service) {
	const { uid } = service.metadata;
	const mine = (slice: EndpointSlice) => slice.metadata.ownerReferences?.some((owner) => owner.uid === uid);
	return { current: slices.filter(mine), others: slices.filter((slice) => !mine(slice)) };
}

function writeEndpoints(
	ctx: ControllerContext,
	wanted: Endpoints,
	stored: Endpoints | undefined,
	since: number,
): void {
	if (!stored) ctx.caches.endpoints.create(triggered(wanted, since));
	else if (content(stored) !== content(wanted)) ctx.caches.endpoints.update(triggered(wanted, since));
}

function content({ metadata, subsets }: Endpoints): string {
	return canonical([metadata.labels ?? {}, metadata.annotations ?? {}, subsets ?? []]);
}
