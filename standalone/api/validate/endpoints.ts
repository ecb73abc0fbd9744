import { familyOf } from '../../alloc/ip-range.ts';
import { IP_TEXT, specialAddress } from '../../alloc/service-validate-addresses.ts';
import type { Draft, EndpointSlice, Endpoints, Incoming } from '../../port.ts';
import {
	duplicateField,
	type FieldError,
	invalidField,
	requiredField,
	unsupportedField,
} from '../field-error.ts';
import { dnsLabel, dnsSubdomain, portNumber } from '../names.ts';
import { isOneOf } from '../one-of.ts';

/** A slice before validation. The API server stores absent endpoints as null. */
type SliceDraft = Omit<Incoming<EndpointSlice>, 'endpoints'> & {
	endpoints?: Draft<EndpointSlice['endpoints']> | null;
};
type EndpointDraft = Draft<NonNullable<EndpointSlice['endpoints']>[number]>;
type PortDraft = Draft<NonNullable<EndpointSlice['ports']>[number]>;

const PROTOCOLS = ['SCTP', 'TCP', 'UDP'];
const ADDRESS_TYPES = ['FQDN', 'IPv4', 'IPv6'];
const MAX_ENDPOINTS = 1000;
const MAX_PORTS = 20_000;
const MAX_ADDRESSES = 100;

function validateAddress(field: string, ip: unknown): FieldError[] {
	if (!ip) return [requiredField(field)];
	if (typeof ip !== 'string' || !familyOf(ip)) return [invalidField(field, ip, IP_TEXT)];
	return specialAddress(ip).map((fault) => invalidField(field, ip, fault));
}

function validatePorts(ports: PortDraft[], field: string, nameRequired: boolean): FieldError[] {
	return ports.flatMap((port, at) => {
		const here = `${field}[${at}]`;
		const faults: FieldError[] = [];
		if (nameRequired && !port?.name) faults.push(requiredField(`${here}.name`));
		else if (port?.name)
			faults.push(...dnsLabel(port.name).map((fault) => invalidField(`${here}.name`, port.name, fault)));
		faults.push(...portNumber(port?.port).map((fault) => invalidField(`${here}.port`, port?.port, fault)));
		if (!port?.protocol) faults.push(requiredField(`${here}.protocol`));
		else if (!PROTOCOLS.includes(port.protocol))
			faults.push(unsupportedField(`${here}.protocol`, port.protocol, PROTOCOLS));
		return faults;
	});
}

const listOf = <T>(value: T[] | null | undefined): T[] => (Array.isArray(value) ? value : []);

export function defaultEndpoints(object: Incoming<Endpoints>): void {
	for (const subset of listOf(object.subsets))
		for (const port of listOf(subset?.ports)) port.protocol ??= 'TCP';
}

export function validateEndpoints(object: Incoming<Endpoints>): FieldError[] {
	return listOf(object.subsets).flatMap((subset, at) => {
		const field = `subsets[${at}]`;
		const [ready, unready] = [listOf(subset?.addresses), listOf(subset?.notReadyAddresses)];
		const faults: FieldError[] = [];
		if (ready.length + unready.length === 0)
			faults.push(requiredField(field, 'must specify `addresses` or `notReadyAddresses`'));
		for (const [index, address] of ready.entries())
			faults.push(...validateAddress(`${field}.addresses[${index}].ip`, address?.ip));
		for (const [index, address] of unready.entries())
			faults.push(...validateAddress(`${field}.notReadyAddresses[${index}].ip`, address?.ip));
		const ports = listOf(subset?.ports);
		return [...faults, ...validatePorts(ports, `${field}.ports`, ports.length > 1)];
	});
}

export function defaultSlice(object: SliceDraft): void {
	for (const port of listOf(object.ports)) {
		port.name ??= '';
		port.protocol ??= 'TCP';
	}
	object.endpoints ??= null;
}

function validateSliceAddress(type: unknown, field: string, address: unknown): FieldError[] {
	if (type === 'FQDN')
		return dnsSubdomain(String(address)).map((fault) => invalidField(field, address, fault));
	const family = typeof address === 'string' ? familyOf(address) : undefined;
	if (type === 'IPv4' && family !== 'IPv4')
		return [invalidField(field, address, 'must be a valid IPv4 address')];
	if (type === 'IPv6' && family !== 'IPv6')
		return [invalidField(field, address, 'must be a valid IPv6 address')];
	return specialAddress(address as string).map((fault) => invalidField(field, address, fault));
}

function validateSliceEndpoint(endpoint: EndpointDraft, field: string, type: unknown): FieldError[] {
	const addresses = listOf(endpoint?.addresses);
	if (addresses.length === 0) return [requiredField(`${field}.addresses`, 'must contain at least 1 address')];
	const faults: FieldError[] = [];
	if (addresses.length > MAX_ADDRESSES)
		faults.push({
			type: 'TooMany',
			field: `${field}.addresses`,
			detail: `must have at most ${MAX_ADDRESSES} items`,
		});
	for (const [at, address] of addresses.entries())
		faults.push(...validateSliceAddress(type, `${field}.addresses[${at}]`, address));
	if (endpoint.hostname)
		for (const fault of dnsLabel(endpoint.hostname))
			faults.push(invalidField(`${field}.hostname`, endpoint.hostname, fault));
	return faults;
}

function validateSlicePorts(ports: PortDraft[]): FieldError[] {
	const names = new Set<string | undefined>();
	return ports.flatMap((port, at) => {
		const here = `ports[${at}]`;
		const faults: FieldError[] = [];
		if (names.has(port?.name)) faults.push(duplicateField(`${here}.name`, port.name));
		names.add(port?.name);
		if (port?.name)
			faults.push(...dnsLabel(port.name).map((fault) => invalidField(`${here}.name`, port.name, fault)));
		if (port?.port !== undefined && port.port !== null)
			faults.push(...portNumber(port.port).map((fault) => invalidField(`${here}.port`, port.port, fault)));
		if (!isOneOf(PROTOCOLS, port?.protocol))
			faults.push(unsupportedField(`${here}.protocol`, port?.protocol, PROTOCOLS));
		return faults;
	});
}

export function validateSlice(object: SliceDraft): FieldError[] {
	const type = object.addressType;
	if (!type) return [requiredField('addressType')];
	if (!ADDRESS_TYPES.includes(type)) return [unsupportedField('addressType', type, ADDRESS_TYPES)];
	const [endpoints, ports] = [listOf(object.endpoints), listOf(object.ports)];
	const faults: FieldError[] = [];
	if (endpoints.length > MAX_ENDPOINTS)
		faults.push({ type: 'TooMany', field: 'endpoints', detail: `must have at most ${MAX_ENDPOINTS} items` });
	if (ports.length > MAX_PORTS)
		faults.push({ type: 'TooMany', field: 'ports', detail: `must have at most ${MAX_PORTS} items` });
	for (const [at, endpoint] of endpoints.entries())
		faults.push(...validateSliceEndpoint(endpoint, `endpoints[${at}]`, type));
	return [...faults, ...validateSlicePorts(ports)];
}

export function validateSliceUpdate(object: Incoming<EndpointSlice>, old: EndpointSlice): FieldError[] {
	if (object.addressType === old.addressType) return [];
	return [invalidField('addressType', object.addressType, 'field is immutable')];
}
