import { isIPv6 } from 'node:net';
import type { KubeObject } from '../port.ts';

export type Family = 'IPv4' | 'IPv6';

export interface ServicePort {
	name?: string;
	port: number;
	protocol?: string;
	appProtocol?: string;
	targetPort?: number | string;
}

/**
 * The families that need slices: ipFamilies, else the family of the clusterIP. A headless Service
 * without ipFamilies gets both.
 */
export function familiesOf(service: KubeObject): Family[] {
	const families: string[] = service.spec?.ipFamilies ?? [];
	// ignore unknown families in a stored object
	if (families.length > 0) return families.filter((family) => family === 'IPv4' || family === 'IPv6');
	const ip: string | undefined = service.spec?.clusterIP;
	if (ip && ip !== 'None') return [familyOf(ip)];
	return ['IPv4', 'IPv6'];
}

export function familyOf(ip: string): Family {
	return isIPv6(ip) ? 'IPv6' : 'IPv4';
}

export function isHeadless(service: KubeObject): boolean {
	return !service.spec?.clusterIP || service.spec.clusterIP === 'None';
}

export function selectorOf(service: KubeObject): Record<string, string> | undefined {
	const selector: Record<string, string> | undefined = service.spec?.selector;
	return selector && Object.keys(selector).length > 0 ? selector : undefined;
}

/** Whether the Service's endpoints come from pods. */
export function selectsPods(service: KubeObject): boolean {
	return selectorOf(service) !== undefined && service.spec?.type !== 'ExternalName';
}
