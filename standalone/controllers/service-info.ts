import { isIPv6 } from 'node:net';
import type { V1ServicePort } from '@kubernetes/client-node';
import type { Json, Service } from '../port.ts';

export type Family = 'IPv4' | 'IPv6';

export type ServicePort = Json<V1ServicePort>;

/**
 * The families that need slices: ipFamilies, else the family of the clusterIP. A headless Service
 * without ipFamilies gets both.
 */
export function familiesOf(service: Service): Family[] {
	const families = service.spec?.ipFamilies ?? [];
	// ignore unknown families in a stored object
	if (families.length > 0) return families.filter((family) => family === 'IPv4' || family === 'IPv6');
	const ip = service.spec?.clusterIP;
	if (ip && ip !== 'None') return [familyOf(ip)];
	return ['IPv4', 'IPv6'];
}

export function familyOf(ip: string): Family {
	return isIPv6(ip) ? 'IPv6' : 'IPv4';
}

export function isHeadless(service: Service): boolean {
	return !service.spec?.clusterIP || service.spec.clusterIP === 'None';
}

export function selectorOf(service: Service): Record<string, string> | undefined {
	const selector = service.spec?.selector;
	return selector && Object.keys(selector).length > 0 ? selector : undefined;
}

/** Whether the Service's endpoints come from pods. */
export function selectsPods(service: Service): boolean {
	return selectorOf(service) !== undefined && service.spec?.type !== 'ExternalName';
}
