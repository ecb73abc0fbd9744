import type { Ip } from '../model/ip.ts';
import { child, isJson, type Json, Reader } from '../model/read.ts';
import { splitKey } from '../model/service.ts';

export interface NamedPort {
	/** Empty for a port without a name. */
	readonly name: string;
	/** In lower case. */
	readonly protocol: string;
	readonly port: number;
}

/** The parts of a Service that matter for its names, independent of proxying. */
export interface DnsService {
	readonly key: string;
	readonly namespace: string;
	readonly name: string;
	readonly kind: 'clusterip' | 'headless' | 'external';
	readonly clusterIps: readonly Ip[];
	readonly ports: readonly NamedPort[];
	/** For kind external: as in the object. */
	readonly externalName: string;
	/** Endpoints that are not ready also have names. */
	readonly publishNotReady: boolean;
}

/** Parses a Service (core/v1). Ignores invalid fields, which the dataplane's parser reports. */
export function parseDnsService(raw: unknown, key: string): DnsService {
	const reader = new Reader(`Service ${key}`);
	const spec = child(isJson(raw) ? raw : {}, 'spec');
	const [namespace, name] = splitKey(key);
	const addresses = clusterIps(reader, spec);
	const external = spec['type'] === 'ExternalName';
	const headless = addresses.includes('None');
	return {
		key,
		namespace,
		name,
		kind: external ? 'external' : headless ? 'headless' : 'clusterip',
		clusterIps:
			external || headless ? [] : addresses.flatMap((text) => reader.ip(text, 'spec.clusterIPs') ?? []),
		ports: reader.objects(spec, 'ports', 'spec.ports').flatMap((entry) => portOf(reader, entry)),
		externalName: external ? reader.text(spec, 'externalName', 'spec.externalName') : '',
		publishNotReady: spec['publishNotReadyAddresses'] === true,
	};
}

function clusterIps(reader: Reader, spec: Json): string[] {
	const list = reader.strings(spec, 'clusterIPs', 'spec.clusterIPs').map(([text]) => text);
	const found = list.length > 0 ? list : [reader.text(spec, 'clusterIP', 'spec.clusterIP')];
	return found.filter((text) => text !== '');
}

function portOf(reader: Reader, [json, path]: [Json, string]): NamedPort[] {
	const port = reader.port(json, 'port', `${path}.port`);
	const protocol = (reader.text(json, 'protocol', `${path}.protocol`) || 'TCP').toLowerCase();
	return port === undefined ? [] : [{ name: reader.text(json, 'name', `${path}.name`), protocol, port }];
}
