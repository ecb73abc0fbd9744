import type { Ip } from '../model/ip.ts';
import { child, isJson, type Json, Reader } from '../model/read.ts';
import { splitKey } from '../model/service.ts';

export interface NamedPort {
	/** Empty: it has no name. */
	readonly name: string;
	/** In lower case. */
	readonly protocol: string;
	readonly port: number;
}

/** What a Service means to someone who asks for it by name; how it is proxied does not matter here. */
export interface DnsService {
	readonly key: string;
	readonly namespace: string;
	readonly name: string;
	readonly kind: 'clusterip' | 'headless' | 'external';
	readonly clusterIps: readonly Ip[];
	readonly ports: readonly NamedPort[];
	/** Of kind external: as it is written. */
	readonly externalName: string;
	/** Endpoints that are not ready have names as well. */
	readonly publishNotReady: boolean;
}

/** Reads a Service (core/v1). What is wrong with it is told by the dataplane's reader; here it is left out. */
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
