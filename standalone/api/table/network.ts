import type { EndpointSlice, Endpoints, IpAddress, Service, ServiceCidr } from '../../port.ts';
import { AGE, type Column, column, labelsText, NAME, wide } from './column.ts';

const SHOWN_ENDPOINTS = 3;

function externalIp(service: Service): string {
	const { type, externalIPs = [], externalName } = service.spec ?? {};
	if (type === 'ExternalName') return externalName!;
	const ingress = service.status?.loadBalancer?.ingress ?? [];
	const balanced = type === 'LoadBalancer' ? ingress.map((entry) => entry.ip ?? entry.hostname) : [];
	const all = [...balanced, ...externalIPs].filter((entry) => entry);
	if (all.length > 0) return all.join(',');
	return type === 'LoadBalancer' ? '<pending>' : '<none>';
}

function servicePorts(service: Service): string {
	const ports = service.spec?.ports ?? [];
	const text = ports.map(
		({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`,
	);
	return text.join(',') || '<none>';
}

export const services: Column<Service>[] = [
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

function endpointAddresses(endpoints: Endpoints): string {
	const subsets = endpoints.subsets ?? [];
	const all = subsets.flatMap(({ addresses = [], ports = [] }) =>
		ports.length === 0
			? addresses.map((entry) => entry.ip)
			: ports.flatMap((port) => addresses.map((entry) => withPort(entry.ip, port.port))),
	);
	return shorten(all);
}

export const endpoints: Column<Endpoints>[] = [NAME, column('Endpoints', endpointAddresses), AGE];

function slicePorts(slice: EndpointSlice): string {
	const ports = slice.ports ?? [];
	if (ports.length === 0) return '<unset>';
	const text = ports.map(({ port, name }) =>
		port === undefined || port === null ? (name ? name : '*') : String(port),
	);
	const more = text.length - SHOWN_ENDPOINTS;
	return text.slice(0, SHOWN_ENDPOINTS).join(',') + (more > 0 ? ` + ${more} more...` : '');
}

export const endpointslices: Column<EndpointSlice>[] = [
	NAME,
	column('AddressType', (slice) => slice.addressType ?? ''),
	column('Ports', slicePorts),
	column('Endpoints', (slice) => {
		const all = (slice.endpoints ?? []).flatMap((entry) => entry.addresses ?? []);
		return all.length === 0 ? '<unset>' : shorten(all);
	}),
	AGE,
];

function parentText({ spec }: IpAddress): string {
	const { group, resource, namespace, name } = spec?.parentRef ?? {};
	return [group ? `${resource}.${group}` : resource, namespace, name].filter((part) => part).join('/');
}

export const ipaddresses: Column<IpAddress>[] = [NAME, column('ParentRef', parentText), AGE];

export const servicecidrs: Column<ServiceCidr>[] = [
	NAME,
	column('CIDRs', (object) => (object.spec?.cidrs ?? []).join(',')),
	AGE,
];
