import { type Cidr, cidrText, parseStoredCidr } from './cidr.ts';
import type { Ip } from './ip.ts';
import { isNotOurs } from './not-ours.ts';
import { child, isJson, type Json, Reader, show } from './read.ts';
import type { Parsed, Service, ServicePort, SourceRanges } from './types.ts';

/** Default and maximum of sessionAffinityConfig.clientIP.timeoutSeconds in the API. */
const AFFINITY_DEFAULT = 10_800;
const AFFINITY_MAX = 86_400;

/** Reads a Service (core/v1). Reports and omits bad ports, addresses and options. */
export function parseService(raw: unknown, key: string): Parsed<Service> {
	const reader = new Reader(`Service ${key}`);
	const json = isJson(raw) ? raw : {};
	if (!isJson(raw)) reader.report('', `is ${show(raw)}, expected an object`);
	const meta = child(json, 'metadata');
	const spec = child(json, 'spec');
	const [namespace, name] = splitKey(key);
	const type = serviceType(reader, spec);
	checkFamilies(reader, spec);
	const served = !isNotOurs(json) && isServed(spec, type);
	const outside = type === 'NodePort' || type === 'LoadBalancer';
	const value: Service = {
		key,
		namespace,
		name,
		created: createdAt(meta),
		served,
		ports: served ? parsePorts(reader, spec, outside) : [],
		clusterIps: served ? clusterIps(reader, spec) : [],
		externalIps: served ? ips(reader, spec, 'externalIPs') : [],
		hostIps: ips(reader, spec, 'hostIPs', true),
		ingressIps: served && type === 'LoadBalancer' ? ingressIps(reader, child(json, 'status')) : [],
		sourceRanges: sourceRanges(reader, spec),
		internalLocal: isLocal(reader, spec, 'internalTrafficPolicy'),
		externalLocal: isLocal(reader, spec, 'externalTrafficPolicy'),
		affinitySeconds: affinity(reader, spec),
		healthCheckNodePort: type === 'LoadBalancer' ? healthCheckNodePort(reader, spec) : 0,
	};
	return { value, problems: reader.problems };
}

function healthCheckNodePort(reader: Reader, spec: Json): number {
	return reader.port(nonZero(spec), 'healthCheckNodePort', 'spec.healthCheckNodePort') ?? 0;
}

/** Splits `namespace/name`. */
export function splitKey(key: string): [namespace: string, name: string] {
	const slash = key.indexOf('/');
	return [key.slice(0, Math.max(slash, 0)), key.slice(slash + 1)];
}

/** metadata.creationTimestamp in milliseconds since 1970; Infinity when absent. */
export function createdAt(meta: Json): number {
	const time = Date.parse(String(meta['creationTimestamp']));
	return Number.isNaN(time) ? Number.POSITIVE_INFINITY : time;
}

const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];

function serviceType(reader: Reader, spec: Json): string {
	const type = reader.text(spec, 'type', 'spec.type') || 'ClusterIP';
	if (TYPES.includes(type)) return type;
	reader.report('spec.type', `is ${show(type)}, expected one of ${TYPES.join(', ')}`);
	return 'ClusterIP';
}

/** Reports unknown families. The families of the addresses are served, not those of the list. */
function checkFamilies(reader: Reader, spec: Json): void {
	for (const [family, path] of reader.strings(spec, 'ipFamilies', 'spec.ipFamilies')) {
		if (family !== 'IPv4' && family !== 'IPv6') {
			reader.report(path, `is ${show(family)}, expected IPv4 or IPv6; it is left out`);
		}
	}
}

function isServed(spec: Json, type: string): boolean {
	if (type === 'ExternalName') return false;
	const first = Array.isArray(spec['clusterIPs']) ? spec['clusterIPs'][0] : undefined;
	return (first ?? spec['clusterIP']) !== 'None';
}

function parsePorts(reader: Reader, spec: Json, outside: boolean): ServicePort[] {
	const seen = new Map<string, string>();
	return reader.objects(spec, 'ports', 'spec.ports').flatMap(([json, path]): ServicePort[] => {
		const protocol = reader.protocol(json, `${path}.protocol`);
		const port = reader.port(json, 'port', `${path}.port`);
		const name = reader.text(json, 'name', `${path}.name`);
		if (json['port'] === undefined) reader.report(`${path}.port`, 'is missing, expected a port 1-65535');
		if (protocol === undefined || port === undefined) return [];
		const other = seen.get(`${port}/${protocol}`);
		if (other !== undefined) {
			reader.report(`${path}.port`, `${port}/${protocol} is in ${other} too, which is the one served`);
			return [];
		}
		seen.set(`${port}/${protocol}`, path);
		const nodePort = outside ? reader.port(nonZero(json), 'nodePort', `${path}.nodePort`) : undefined;
		return [{ path, name, port, protocol, nodePort: nodePort ?? 0 }];
	});
}

/** Removes fields with the value 0: as a port, it means none. */
function nonZero(json: Json): Json {
	return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== 0));
}

function clusterIps(reader: Reader, spec: Json): Ip[] {
	const list = spec['clusterIPs'];
	if (Array.isArray(list) ? list.length > 0 : list != null) return ips(reader, spec, 'clusterIPs');
	const text = reader.text(spec, 'clusterIP', 'spec.clusterIP');
	const ip = text === '' ? undefined : reader.ip(text, 'spec.clusterIP');
	return ip ? [ip] : [];
}

function ips(reader: Reader, spec: Json, field: string, loopback = false): Ip[] {
	const found = reader
		.strings(spec, field, `spec.${field}`)
		.filter(([text]) => text !== '')
		.flatMap(([text, path]) => reader.ip(text, path, loopback) ?? []);
	return [...new Map(found.map((ip) => [ip.text, ip])).values()];
}

function ingressIps(reader: Reader, status: Json): Ip[] {
	const path = 'status.loadBalancer.ingress';
	return reader.objects(child(status, 'loadBalancer'), 'ingress', path).flatMap(([json, at]) => {
		const text = reader.text(json, 'ip', `${at}.ip`);
		if (text === '' || json['ipMode'] === 'Proxy') return [];
		return reader.ip(text, `${at}.ip`) ?? [];
	});
}

/** An invalid range allows no source, rather than all: it counts as a range of both families. */
function sourceRanges(reader: Reader, spec: Json): SourceRanges {
	const field = 'loadBalancerSourceRanges';
	const allowed = new Map<string, Cidr>();
	const families = new Set<4 | 6>();
	const all = reader.list(spec, field, `spec.${field}`);
	for (const [i, text] of all.entries()) {
		const range = typeof text === 'string' ? parseStoredCidr(text) : undefined;
		if (range) {
			allowed.set(cidrText(range), range);
			families.add(range.ip.family);
		} else {
			reader.report(
				`spec.${field}[${i}]`,
				`is ${show(text)}, expected a CIDR such as 192.0.2.0/24; it allows no source`,
			);
			families.add(4).add(6);
		}
	}
	return { allowed: [...allowed.values()], families: [...families].sort() };
}

function isLocal(reader: Reader, spec: Json, field: string): boolean {
	const policy = reader.text(spec, field, `spec.${field}`) || 'Cluster';
	if (policy !== 'Cluster' && policy !== 'Local') {
		reader.report(`spec.${field}`, `is ${show(policy)}, expected Cluster or Local; Cluster is used`);
	}
	return policy === 'Local';
}

function affinity(reader: Reader, spec: Json): number {
	const kind = reader.text(spec, 'sessionAffinity', 'spec.sessionAffinity') || 'None';
	if (kind === 'None') return 0;
	if (kind !== 'ClientIP') {
		reader.report('spec.sessionAffinity', `is ${show(kind)}, expected None or ClientIP; None is used`);
		return 0;
	}
	const config = child(child(spec, 'sessionAffinityConfig'), 'clientIP');
	const seconds = config['timeoutSeconds'] ?? AFFINITY_DEFAULT;
	if (typeof seconds === 'number' && Number.isInteger(seconds) && seconds >= 1 && seconds <= AFFINITY_MAX) {
		return seconds;
	}
	const path = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
	reader.report(path, `is ${show(seconds)}, expected 1-${AFFINITY_MAX}; ${AFFINITY_DEFAULT} is used`);
	return AFFINITY_DEFAULT;
}
