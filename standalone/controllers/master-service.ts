import type { EndpointSlice, Endpoints, KubeObject } from '../port.ts';
import type { Cache } from './cache.ts';
import { SERVICE_NAME_LABEL } from './caches.ts';
import type { ControllerContext } from './context.ts';
import { canonical } from './meta.ts';
import { SKIP_MIRROR_LABEL } from './mirror-slices.ts';
import type { WorkQueue } from './queue.ts';
import { type Family, familyOf } from './service-info.ts';

/** Addresses at which nodes and pods of the cluster reach the API server. */
export interface ApiAddress {
	/** IP addresses, of one or both families. */
	addresses: readonly string[];
	port: number;
}

const KEY = 'default/kubernetes';

/**
 * Sets the Endpoints and slices of the Service default/kubernetes to the API server's addresses.
 */
export function startMasterService(ctx: ControllerContext, api: ApiAddress): WorkQueue {
	const { services, endpoints, endpointslices } = ctx.caches;
	const queue = ctx.queue('master-service', () => {
		const service = services.get(KEY);
		if (!service) return;
		const port = { name: service.spec?.ports?.[0]?.name ?? 'https', port: api.port, protocol: 'TCP' };
		const family = familyOf(service.spec?.clusterIP ?? '');
		put(endpoints, KEY, masterEndpoints(ofFamily(api, family), port));
		for (const each of ['IPv4', 'IPv6'] as const) {
			const addresses = ofFamily(api, each);
			if (addresses.length === 0) continue;
			const name = each === family ? 'kubernetes' : `kubernetes-${each.toLowerCase()}`;
			put(endpointslices, `default/${name}`, masterSlice(name, each, addresses, port));
		}
	});
	for (const cache of [services, endpoints, endpointslices])
		cache.subscribe((before, after) => {
			const { namespace, name } = (after ?? before)!.metadata;
			if (namespace === 'default' && name.startsWith('kubernetes')) queue.add(KEY);
		});
	return queue;
}

function ofFamily({ addresses }: ApiAddress, family: Family): string[] {
	return addresses.filter((ip) => familyOf(ip) === family);
}

interface Port {
	name: string;
	port: number;
	protocol: string;
}

function masterEndpoints(addresses: string[], port: Port): Endpoints {
	return {
		apiVersion: 'v1',
		kind: 'Endpoints',
		metadata: { name: 'kubernetes', namespace: 'default', labels: { [SKIP_MIRROR_LABEL]: 'true' } },
		subsets: addresses.length > 0 ? [{ addresses: addresses.map((ip) => ({ ip })), ports: [port] }] : [],
	};
}

function masterSlice(name: string, addressType: Family, addresses: string[], port: Port): EndpointSlice {
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: { name, namespace: 'default', labels: { [SERVICE_NAME_LABEL]: 'kubernetes' } },
		addressType,
		endpoints: addresses.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
		ports: [port],
	};
}

function put<T extends KubeObject>(cache: Cache<T>, key: string, wanted: T): void {
	const stored = cache.get(key);
	if (!stored) cache.create(wanted);
	else if (content(stored) !== content(wanted))
		cache.update({ ...stored, ...wanted, metadata: { ...stored.metadata, labels: wanted.metadata.labels! } });
}

function content({ metadata, subsets, endpoints, ports }: KubeObject): string {
	return canonical([metadata.labels ?? {}, subsets ?? [], endpoints ?? [], ports ?? []]);
}
