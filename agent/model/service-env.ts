import { child, isJson, type Json } from './read.ts';

/** The Service of the API server: all pods get its variables. */
const MASTER = { namespace: 'default', name: 'kubernetes' } as const;

/**
 * Variables by which a pod's containers find Services, as the kubelet sets them (kubernetes
 * pkg/kubelet/envvars).
 *
 * @param services of all namespaces, as the API returns them; the result keeps their order
 * @param links enableServiceLinks of the pod; if false, only the Service of the API server counts
 */
export function serviceVariables(
	services: Iterable<Json>,
	namespace: string,
	links: boolean,
): Map<string, string> {
	const chosen = new Map<string, Json>();
	for (const service of services) {
		const metadata = child(service, 'metadata');
		const name = String(metadata['name']);
		if (!hasAddress(service)) continue;
		const master = metadata['namespace'] === MASTER.namespace && name === MASTER.name;
		// A Service of that name in the pod's own namespace wins, in any order
		if (links && metadata['namespace'] === namespace) chosen.set(name, service);
		else if (master && !chosen.has(name)) chosen.set(name, service);
	}
	return new Map([...chosen.values()].flatMap(variablesOf));
}

function hasAddress(service: Json): boolean {
	const address = child(service, 'spec')['clusterIP'];
	return address !== undefined && address !== null && address !== '' && address !== 'None';
}

/** Variables of one Service, in order: its address and ports, then those of Docker's links. */
function variablesOf(service: Json): [string, string][] {
	const spec = child(service, 'spec');
	const prefix = variableName(String(child(service, 'metadata')['name']));
	const address = String(spec['clusterIP']);
	const ports = portsOf(spec);
	const [first] = ports;
	if (!first) return [];
	const url = ({ port, protocol }: Port) =>
		`${protocol}://${address.includes(':') ? `[${address}]` : address}:${port}`;
	return [
		[`${prefix}_SERVICE_HOST`, address],
		[`${prefix}_SERVICE_PORT`, first.port],
		...ports
			.filter(({ name }) => name !== '')
			.map(({ name, port }): [string, string] => [`${prefix}_SERVICE_PORT_${variableName(name)}`, port]),
		[`${prefix}_PORT`, url(first)],
		...ports.flatMap((port): [string, string][] => {
			const link = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`;
			return [
				[link, url(port)],
				[`${link}_PROTO`, port.protocol],
				[`${link}_PORT`, port.port],
				[`${link}_ADDR`, address],
			];
		}),
	];
}

interface Port {
	readonly name: string;
	readonly port: string;
	/** Lower case. */
	readonly protocol: string;
}

function portsOf(spec: Json): Port[] {
	const ports = spec['ports'];
	if (!Array.isArray(ports)) return [];
	return ports.filter(isJson).map(({ name, port, protocol }) => ({
		name: String(name ?? ''),
		port: String(port),
		protocol: String(protocol || 'TCP').toLowerCase(),
	}));
}

function variableName(text: string): string {
	return text.toUpperCase().replaceAll('-', '_');
}
