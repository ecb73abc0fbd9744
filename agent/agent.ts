import type { Logger } from 'pino';
import { startDns } from './agent-dns.ts';
import { startServers } from './agent-servers.ts';
import { metricSources, type Parts } from './agent-views.ts';
import type { BpfMap, ServiceMaps } from './bpf/port.ts';
import type { BackendGroup, Destroyed } from './bpf/sock-destroy.ts';
import type { AgentStatus } from './cli/agent-status.ts';
import type { Config } from './config.ts';
import { HostPorts } from './host-ports.ts';
import { createMetrics } from './http/metrics.ts';
import type { RunningServer } from './http/server.ts';
import type { Clock } from './kube/clock.ts';
import { eventWriter } from './kube/events.ts';
import type { ApiTarget } from './kube/kubeconfig.ts';
import { watchApi } from './kube/source.ts';
import { openTransport } from './kube/transport.ts';
import { type Cidr, parseCidr } from './model/cidr.ts';
import { parseIp } from './model/ip.ts';
import { parseNode } from './model/node.ts';
import { Observer } from './observer.ts';
import { Reconciler } from './reconcile.ts';
import type { RawSink } from './reconcile-types.ts';
import { StaleSockets } from './stale-sockets.ts';

/** The programs and maps of this node, attached. */
export interface AgentDataplane {
	readonly maps: ServiceMaps;
	/** struct sock_key -> struct sock_frontend. */
	readonly sockets: BpfMap;
	/** enum reason -> struct counter of every CPU. */
	readonly counters: BpfMap;
	/** What is attached where; and what works in a lesser way than it could, for people. */
	status(): Pick<AgentStatus, 'attachments' | 'degradations'>;
	/** Ends sockets of the node that socket load balancing has connected to these backends. */
	destroySockets(group: BackendGroup): Destroyed;
	/** Tells all addresses of the node's own devices, when they are known and whenever they change. */
	followAddresses(listener: (addresses: readonly string[]) => void): void;
	/** The devices that hold the node's addresses face other nodes. */
	setNodeAddresses(addresses: readonly string[]): void;
}

export interface AgentOptions {
	readonly config: Config;
	readonly dataplane: AgentDataplane;
	readonly target: ApiTarget;
	readonly log: Logger;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly version: string;
	readonly abi: number;
	/** Aborts to stop; nothing in the kernel is undone. */
	readonly signal: AbortSignal;
	/** Told when the agent's servers listen. */
	readonly started?: (servers: { health?: RunningServer; metrics?: RunningServer }) => void;
}

/** One node's agent, from the API's watches to the maps, with its servers, until the signal aborts. */
export async function runAgent(options: AgentOptions): Promise<void> {
	const { config, dataplane, target, log, clock, random, signal } = options;
	await using ends = new AsyncDisposableStack();
	const parts: Parts = {};
	const build = { version: options.version, abi: String(options.abi), node: process.version };
	const metrics = createMetrics(metricSources(options, parts), build);
	const observer = new Observer(metrics);
	const staleSockets = endStaleSockets(options, observer, (name) => reconciler.hasBackend(name));
	ends.defer(() => staleSockets.close());
	const dns = startDns(options, metrics.registry, (server) => reconciler.setOwnServer(server));
	const reconciler = new Reconciler({
		maps: dataplane.maps,
		nodeName: config.nodeName,
		log: observer.log(log.child({ part: 'reconcile' })),
		clock,
		random,
		tableSize: config.tableSize === 'auto' ? undefined : config.tableSize,
		nodePortCidrs: cidrsOf(config.nodeportAddresses),
		externalCidrs: cidrsOf(config.externalIps),
		serviceCidrs: cidrsOf(config.serviceCidrs),
		apiServers: [parseIp(target.server.hostname.replace(/^\[|\]$/g, ''))].filter((ip) => ip !== undefined),
		...(dns && { changed: dns.changed }),
		started: () => staleSockets.adopt(dataplane.sockets),
		backendsGone: (backends) => staleSockets.gone(backends),
	});
	// the last sync of all: what points to a server that ends would be lost
	if (dns) ends.defer(() => dns.close(() => reconciler.sync()));
	dataplane.followAddresses((addresses) => reconciler.setLocalAddresses(addresses));
	const transport = openTransport(target, (sample) => observer.request(sample));
	ends.defer(() => transport.close());
	const tell = eventWriter({
		transport,
		nodeName: config.nodeName,
		log: log.child({ part: 'events' }),
		now: Date.now,
		signal,
	});
	await startServers(
		options,
		Object.assign(parts, { reconciler, metrics, tell }),
		() => observer.syncs,
		ends,
	);
	parts.source = watchApi({
		transport,
		nodeName: config.nodeName,
		endpointsSource: config.endpointsSource,
		sinks(kind) {
			const sinks = observer.sinks(reconciler.sinks(kind));
			const hostPorts = config.hostPorts ? new HostPorts(sinks, kind) : undefined;
			const node = nodeSink(options, sinks.node, [dns, hostPorts]);
			const services = hostPorts?.services ?? sinks.services;
			const pods = hostPorts && { pods: hostPorts.pods };
			if (!dns) return { ...sinks, ...pods, node, services };
			return { ...sinks, ...pods, node, services: dns.services(services), namespaces: dns.namespaces };
		},
		serviceCidrs: config.serviceCidrs === 'auto' ? reconciler.serviceCidrSink() : undefined,
		log: log.child({ part: 'watch' }),
		signal,
		clock,
		random,
	});
	log.info({ node: config.nodeName, server: target.server.href }, 'agent.started');
	await Promise.all([reconciler.run(signal), parts.source.done]);
	log.info({ node: config.nodeName }, 'agent.stopped');
}

/** undefined: a word stands for them. */
function cidrsOf(setting: string | readonly string[]): Cidr[] | undefined {
	if (typeof setting === 'string') return undefined;
	return setting.flatMap((text) => parseCidr(text) ?? []);
}

function endStaleSockets(
	{ dataplane, clock, log }: AgentOptions,
	observer: Observer,
	serves: (name: string) => boolean,
): StaleSockets {
	return new StaleSockets({
		destroy: (group) => dataplane.destroySockets(group),
		serves,
		clock,
		log: log.child({ part: 'sockets' }),
		counted: (protocol, sockets) => observer.destroyed(protocol, sockets),
		failed: () => observer.destroyFailed(),
	});
}

interface AddressListener {
	setNodeAddresses(addresses: readonly string[]): void;
}

/** The node's addresses decide which devices are its uplinks, and where DNS and host ports are served. */
function nodeSink(
	{ config, dataplane }: AgentOptions,
	sink: RawSink,
	listeners: readonly (AddressListener | undefined)[],
): RawSink {
	return {
		upsert(key, object) {
			const node = parseNode(object, config.nodeName).value;
			const addresses = node.addresses.map((address) => address.text);
			dataplane.setNodeAddresses(addresses);
			for (const listener of listeners) listener?.setNodeAddresses(addresses);
			sink.upsert(key, object);
		},
		remove: (key) => sink.remove(key),
		listed: () => sink.listed(),
	};
}
