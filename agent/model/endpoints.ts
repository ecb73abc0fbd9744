import { isNotOurs } from './not-ours.ts';
import { child, isJson, type Json, Reader, show } from './read.ts';
import { splitKey } from './service.ts';
import type { Endpoint, EndpointGroup, EndpointSource, Parsed, SlicePort } from './types.ts';

const SERVICE_NAME = 'kubernetes.io/service-name';

/**
 * Reads an EndpointSlice (discovery.k8s.io/v1). Reports and omits a bad endpoint or port. In the
 * API only the first address of an endpoint has a meaning.
 */
export function parseEndpointSlice(raw: unknown, key: string): Parsed<EndpointSource> {
	const reader = new Reader(`EndpointSlice ${key}`);
	const json = isJson(raw) ? raw : {};
	if (!isJson(raw)) reader.report('', `is ${show(raw)}, expected an object`);
	const labels = child(child(json, 'metadata'), 'labels');
	const name = reader.text(labels, SERVICE_NAME, `metadata.labels["${SERVICE_NAME}"]`);
	const service = name === '' ? undefined : `${splitKey(key)[0]}/${name}`;
	const family = addressFamily(reader, json);
	const served = !isNotOurs(json);
	if (family === undefined) return { value: { key, service, served, groups: [] }, problems: reader.problems };
	const group: EndpointGroup = {
		ports: parsePorts(reader, json, 'ports'),
		endpoints: reader.objects(json, 'endpoints', 'endpoints').flatMap(([endpoint, path]) => {
			return parseEndpoint(reader, endpoint, path, family) ?? [];
		}),
	};
	return { value: { key, service, served, groups: [group] }, problems: reader.problems };
}

/**
 * @returns undefined for an unknown type, which is reported, and for FQDN: it is legal, but has no
 * addresses to balance over
 */
function addressFamily(reader: Reader, json: Json): 4 | 6 | undefined {
	const type = json['addressType'];
	if (type === 'IPv4') return 4;
	if (type === 'IPv6') return 6;
	if (type === 'FQDN') return undefined;
	return reader.report('addressType', `is ${show(type)}, expected IPv4 or IPv6`);
}

function parsePorts(reader: Reader, json: Json, path: string): SlicePort[] {
	return reader.objects(json, 'ports', path).flatMap(([item, at]): SlicePort[] => {
		const protocol = reader.protocol(item, `${at}.protocol`);
		const port = reader.port(item, 'port', `${at}.port`);
		const name = reader.text(item, 'name', `${at}.name`);
		return protocol === undefined || port === undefined ? [] : [{ name, port, protocol }];
	});
}

function parseEndpoint(reader: Reader, json: Json, path: string, family: 4 | 6): Endpoint | undefined {
	const first = reader.strings(json, 'addresses', `${path}.addresses`)[0];
	if (!first) return reader.report(`${path}.addresses`, 'has no address');
	const ip = reader.ip(...first);
	if (!ip) return undefined;
	if (ip.family !== family) return reader.report(first[1], `${ip.text} is not of the slice's addressType`);
	const conditions = child(json, 'conditions');
	const condition = (name: string) => reader.flag(conditions, name, `${path}.conditions.${name}`);
	const ready = condition('ready') ?? true;
	const hints = child(json, 'hints');
	return {
		ip,
		ready,
		serving: condition('serving') ?? true,
		terminating: condition('terminating') ?? false,
		node: reader.text(json, 'nodeName', `${path}.nodeName`),
		hostname: reader.text(json, 'hostname', `${path}.hostname`),
		forZones: hintNames(reader, hints, 'forZones', path),
		forNodes: hintNames(reader, hints, 'forNodes', path),
	};
}

function hintNames(reader: Reader, hints: Json, field: string, path: string): string[] {
	return reader.objects(hints, field, `${path}.hints.${field}`).map(([hint, at]) => {
		return reader.text(hint, 'name', `${at}.name`);
	});
}

/** Reads Endpoints (core/v1) of the Service of the same name. A subset may mix both families. */
export function parseEndpoints(raw: unknown, key: string): Parsed<EndpointSource> {
	const reader = new Reader(`Endpoints ${key}`);
	const json = isJson(raw) ? raw : {};
	if (!isJson(raw)) reader.report('', `is ${show(raw)}, expected an object`);
	const groups = reader.objects(json, 'subsets', 'subsets').map(([subset, path]): EndpointGroup => {
		const read = (field: string, ready: boolean): Endpoint[] =>
			reader.objects(subset, field, `${path}.${field}`).flatMap(([address, at]): Endpoint[] => {
				const ip = reader.ip(reader.text(address, 'ip', `${at}.ip`), `${at}.ip`);
				if (!ip) return [];
				const node = reader.text(address, 'nodeName', `${at}.nodeName`);
				const hostname = reader.text(address, 'hostname', `${at}.hostname`);
				const state = { ready, serving: ready, terminating: false };
				return [{ ip, ...state, node, hostname, forZones: [], forNodes: [] }];
			});
		return {
			ports: parsePorts(reader, subset, `${path}.ports`),
			endpoints: [...read('addresses', true), ...read('notReadyAddresses', false)],
		};
	});
	return { value: { key, service: key, served: !isNotOurs(json), groups }, problems: reader.problems };
}
