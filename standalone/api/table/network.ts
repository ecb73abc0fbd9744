import type { Fields, KubeObject } from '../../port.ts';
import { AGE, type Column, column, labelsText, NAME, wide } from './column.ts';

const SHOWN_ENDPOINTS = 3;

function externalIp(service: KubeObject): string {
	const { type, externalIPs = [], externalName } = service.spec ?? {};
	if (type === 'ExternalName') return externalName;
	const ingress: Fields[] = service.status?.loadBalancer?.ingress ?? [];
	const balanced = type === 'LoadBalancer' ? ingress.map((entry) => entry.ip ?? entry.hostname) : [];
	const all = [...balanced, ...externalIPs].filter((entry) => entry);
	if (all.length > 0) return all.join(',');
	return type === 'LoadBalancer' ? '<pending>' : '<none>';
}

function servicePorts(service: KubeObject): string {
	const ports: Fields[] = service.spec?.ports ?? [];
	const text = ports.map(
		({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`,
	);
	return text.join(',') || '<none>';
}

export const services: Column[] = [
	NAME,
	column('Type', (service) => service.spec?.type ?? ''),
	column('Cluster-IP', (service) => service.spec?.clusterIPs?.[0] ?? '<none>'),
	column('External-IP', externalIp),
	column('Port(s)', servicePorts),
	AGE,
	wide('Selector', (service) => labelsText(service.spec?.selector)),
];

const withPort = (ip: string, port: number): string =>
	ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;

function shorten(entries: readonly string[]): string {
	if (entries.length === 0) return '<none>';
	const more = entries.length - SHOWN_ENDPOINTS;
	return entries.slice(0, SHOWN_ENDPOINTS).join(',') + (more > 0 ? ` + ${more} more...` : '');
}

function endpointAddresses(endpoints: KubeObject): string {
	const subsets: Fields[] = endpoints['subsets'] ?? [];
	const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
		ports.length === 0
			? addresses.map((entry: Fields) => entry.ip)
			: ports.flatMap((port: Fields) => addresses.map((entry: Fields) => withPort(entry.ip, port.port))),
	);
	return shorten(all);
}

export const endpoints: Column[] = [NAME, column('Endpoints', endpointAddresses), AGE];

function slicePorts(slice: KubeObject): string {
	const ports: Fields[] = slice['ports'] ?? [];
	if (ports.length === 0) return '<unset>';
	const text = ports.map(({ port, name }) =>
		port === undefined || port === null ? (name ? name : '*') : String(port),
	);
	const more = text.length - SHOWN_ENDPOINTS;
	return text.slice(0, SHOWN_ENDPOINTS).join(',') + (more > 0 ? ` + ${more} more...` : '');
}

export const endpointslices: Column[] = [
	NAME,
	column('AddressType', (slice) => slice['addressType'] ?? ''),
	column('Ports', slicePorts),
	column('Endpoints', (slice) => {
		const all = ((slice['endpoints'] ?? []) as Fields[]).flatMap((entry) => entry.addresses ?? []);
		return all.length === 0 ? '<unset>' : shorten(all);
	}),
	AGE,
];

function parentText({ spec }: KubeObject): string {
	const { group, resource, namespace, name } = spec?.parentRef ?? {};
	return [group ? `${resource}.${group}` : resource, namespace, name].filter((part) => part).join('/');
}

export const ipaddresses: Column[] = [NAME, column('ParentRef', parentText), AGE];

export const servicecidrs: Column[] = [
	NAME,
	column('CIDRs', (object) => (object.spec?.cidrs ?? []).join(',')),
	AGE,
];
