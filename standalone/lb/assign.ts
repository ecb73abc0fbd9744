/** Selects the addresses of the pool for a Service. */
import { type Family, familyOf } from '../alloc/ip-range.ts';
import type { Service } from '../port.ts';
import { type AddressPool, readAddress } from './pool.ts';

export const LOAD_BALANCER_CLASS = 'maglane.io/standalone';
/**
 * Annotations for requested addresses, at most one of each family, `192.168.10.201,fd00:10::201`.
 * MetalLB's names also work.
 */
const WANTED = [
	'maglane.io/loadBalancerIPs',
	'metallb.io/loadBalancerIPs',
	'metallb.universe.tf/loadBalancerIPs',
];

/** Addresses, or the reason for their absence. */
export type Assignment = { ips: string[] } | { reason: 'AllocationFailed'; message: string };

/** @returns the key of another Service that holds the address. */
export type Holder = (address: string) => string | undefined;

/**
 * Whether we serve the Service: it has type LoadBalancer, no class or ours, and no address from
 * another controller.
 */
export function isOurs({ spec, status }: Service, pool: AddressPool): boolean {
	if (spec?.type !== 'LoadBalancer') return false;
	if (spec.loadBalancerClass !== undefined && spec.loadBalancerClass !== LOAD_BALANCER_CLASS) return false;
	const ingress = status?.loadBalancer?.ingress ?? [];
	return ingress.every(({ ip }) => ip !== undefined && pool.contains(ip));
}

/** Addresses in the Service's status that belong to the pool. */
export function addressesOf({ spec, status }: Service, pool: AddressPool): string[] {
	if (spec?.type !== 'LoadBalancer') return [];
	const ingress = status?.loadBalancer?.ingress ?? [];
	return ingress.flatMap(({ ip }) => {
		const address = ip === undefined ? undefined : readAddress(ip);
		return address && pool.contains(address) ? [address] : [];
	});
}

/**
 * Assigns an address for each of the Service's families: the requested one, else the current one,
 * else the lowest free one. If the pool has no addresses of a family, that family is omitted unless
 * the Service requires it.
 */
export function assign(service: Service, pool: AddressPool, holder: Holder): Assignment {
	const families = (service.spec.ipFamilies ?? []) as Family[];
	const wanted = wantedAddresses(service);
	const fault = wanted.map((text) => refusal(text, families, pool, holder)).find((found) => found);
	if (fault) return failed(fault);
	const current = addressesOf(service, pool);
	const ips: string[] = [];
	for (const family of families) {
		const of = (list: readonly string[]) => list.find((address) => familyOf(address) === family);
		const kept = of(current.filter((address) => holder(address) === undefined));
		const ip =
			of(wanted.map((text) => readAddress(text)!)) ??
			kept ??
			pool.next(family, (address) => holder(address) === undefined);
		if (ip !== undefined) ips.push(ip);
		else if (pool.has(family)) return failed(`All ${family} addresses of ${pool.text} are in use`);
		else if (service.spec.ipFamilyPolicy === 'RequireDualStack' || families.length === 1)
			return failed(`The pool ${pool.text} has no ${family} addresses; give some with --lb-pool`);
	}
	return { ips };
}

function failed(message: string): Assignment {
	return { reason: 'AllocationFailed', message };
}

function wantedAddresses({ metadata, spec }: Service): string[] {
	const annotated = WANTED.map((name) => metadata.annotations?.[name]).find((value) => value);
	const text = annotated ?? spec.loadBalancerIP ?? '';
	return text
		.split(',')
		.map((part) => part.trim())
		.filter((part) => part !== '');
}

/** The reason why the Service cannot have a requested address; undefined if it can. */
function refusal(
	text: string,
	families: readonly Family[],
	pool: AddressPool,
	holder: Holder,
): string | undefined {
	const address = readAddress(text);
	if (!address) return `The wanted address ${JSON.stringify(text)} is no IP address`;
	if (!pool.contains(address)) return `The wanted address ${address} is not in the pool ${pool.text}`;
	if (!families.includes(familyOf(address)!))
		return `The wanted address ${address} is not of the Service's families, ${families.join(' and ')}`;
	const other = holder(address);
	return other && `The wanted address ${address} is in use by Service ${other}`;
}
