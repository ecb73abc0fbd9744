/**
 * DNS of a standalone cluster. The control plane's process serves it at the addresses of every
 * node, and the Service kube-dns sends the node's pods there. DNS also works while a node's agent
 * is stopped, and for pods that start in that time.
 */
import { closeSync } from 'node:fs';
import type { Logger } from 'pino';
import { systemClock } from '../../agent/base/clock.ts';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { ListenAddress, Sockets } from '../../agent/dns/address.ts';
import { NameServer, type Place } from '../../agent/dns/name-server.ts';
import { parseCidr } from '../../agent/model/cidr.ts';
import { CLUSTER_DNS, CLUSTER_ZONE, nodeAddresses } from '../net/addresses.ts';
import { nodeName, nodeNamespace } from '../net/names.ts';
import type { Family } from '../node/pod-runner.ts';
import type { EndpointSlice, ObjectApi, ObjectEvent, Service } from '../port.ts';

/** Private address ranges. DNS servers outside this machine have no names for them. */
const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];
const NAMESPACE = 'kube-system';
const NAME = 'kube-dns';
/** Port at the nodes' addresses. Port 53 stays free for users. */
const PORT = 10253;
const PROTOCOLS = { dns: 'UDP', 'dns-tcp': 'TCP' } as const;
const TYPES = { v4: 'IPv4', v6: 'IPv6' } as const;

export interface ClusterDnsOptions {
	readonly objects: ObjectApi;
	readonly switcher: NetnsSwitcher;
	readonly prefix: string;
	/** The nodes are numbered from 1. */
	readonly nodes: number;
	readonly families: readonly Family[];
	readonly log: Logger;
}

/**
 * Starts the DNS server. Creates its Service if it does not exist. After a user deletes the
 * Service, the cluster has no DNS until the next start.
 */
export async function startClusterDns(options: ClusterDnsOptions): Promise<NameServer> {
	const { objects, families, log } = options;
	const numbers = Array.from({ length: options.nodes }, (_, i) => i + 1);
	const server = new NameServer({
		zone: {
			name: CLUSTER_ZONE,
			server: `${NAMESPACE}/${NAME}`,
			reverse: PRIVATE_RANGES.flatMap((text) => parseCidr(text) ?? []),
		},
		log: log.child({ part: 'dns' }),
		after: systemClock.after,
	});
	feed(server, objects);
	await server.serve(numbers.map((number) => placeOf(options, number)));
	if (!objects.get('services', NAMESPACE, NAME)) objects.create('services', dnsService(families));
	for (const family of families) {
		const slice = dnsSlice(family, numbers);
		const before = objects.get('endpointslices', NAMESPACE, slice.metadata.name);
		if (before) objects.update('endpointslices', { ...before, ...slice, metadata: before.metadata });
		else objects.create('endpointslices', slice);
	}
	return server;
}

/** Feeds all objects with names to the server, now and on each change. */
function feed(server: NameServer, objects: ObjectApi): void {
	const object = (event: ObjectEvent) => (event.type === 'DELETED' ? undefined : event.object);
	const key = ({ object: { metadata } }: ObjectEvent) => `${metadata.namespace}/${metadata.name}`;
	objects.watch('namespaces', ({ type, object: { metadata } }) =>
		server.setNamespace(metadata.name, type !== 'DELETED'),
	);
	objects.watch('endpointslices', (event) => server.setSlice(key(event), object(event)));
	objects.watch('services', (event) => server.setService(key(event), object(event)));
}

function placeOf({ switcher, prefix, families }: ClusterDnsOptions, number: number): Place {
	const netns = nodeNamespace(prefix, nodeName(number));
	return {
		addresses: families.map((family) => ({ host: nodeAddresses(number)[family], port: PORT })),
		sockets: (address) => socketsOf(switcher, netns, address),
	};
}

function socketsOf(switcher: NetnsSwitcher, netns: string, { host, port }: ListenAddress): Sockets {
	const at = { address: host, family: host.includes(':') ? 6 : 4 } as const;
	const udp = switcher.bindUdp(netns, port, at);
	try {
		return { udp, tcp: switcher.listenTcp(netns, port, at) };
	} catch (error) {
		closeSync(udp);
		throw error;
	}
}

function dnsService(families: readonly Family[]): Service {
	const clusterIPs = families.map((family) => CLUSTER_DNS[family]);
	return {
		metadata: {
			name: NAME,
			namespace: NAMESPACE,
			labels: { 'k8s-app': NAME, 'kubernetes.io/name': 'CoreDNS' },
		},
		spec: {
			clusterIP: clusterIPs[0]!,
			clusterIPs,
			ipFamilies: families.map((family) => TYPES[family]),
			ipFamilyPolicy: families.length > 1 ? 'RequireDualStack' : 'SingleStack',
			// each node queries its own DNS server
			internalTrafficPolicy: 'Local',
			ports: Object.entries(PROTOCOLS).map(([name, protocol]) => ({
				name,
				port: 53,
				protocol,
				targetPort: PORT,
			})),
		},
	};
}

function dnsSlice(family: Family, nodes: readonly number[]): EndpointSlice {
	return {
		apiVersion: 'discovery.k8s.io/v1',
		kind: 'EndpointSlice',
		metadata: {
			name: `${NAME}-${family}`,
			namespace: NAMESPACE,
			labels: { 'kubernetes.io/service-name': NAME },
		},
		addressType: TYPES[family],
		endpoints: nodes.map((number) => ({
			addresses: [nodeAddresses(number)[family]],
			conditions: { ready: true, serving: true, terminating: false },
			nodeName: nodeName(number),
		})),
		ports: Object.entries(PROTOCOLS).map(([name, protocol]) => ({ name, port: PORT, protocol })),
	};
}
