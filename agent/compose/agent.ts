import { HostPorts } from '../features/host-ports.ts';
import { SocketLabels } from '../features/socket-labels.ts';
import { StaleSockets, type StaleSocketsOptions } from '../features/stale-sockets.ts';
import { createMetrics } from '../http/metrics.ts';
import { eventWriter } from '../kube/events.ts';
import { watchApi } from '../kube/source.ts';
import { openTransport } from '../kube/transport.ts';
import { Observer } from '../loop/observer.ts';
import { Reconciler } from '../loop/reconcile.ts';
import { type Cidr, parseCidr } from '../model/cidr.ts';
import { parseIp } from '../model/ip.ts';
import { startDns } from './dns.ts';
import type { AgentOptions } from './options.ts';
import { pipeline } from './pipeline.ts';
import { startServers } from './servers.ts';
import { metricSources, type Parts } from './views.ts';

/** Runs one node's agent until the signal aborts: API watches, reconciler and servers. */
export async function runAgent(options: AgentOptions): Promise<void> {
	const { config, dataplane, target, log, clock, random, signal } = options;
	await using ends = new AsyncDisposableStack();
	const parts: Parts = {};
	const build = { version: options.version, abi: String(options.abi), node: process.version };
	const metrics = createMetrics(metricSources(options, parts), build);
	const observer = new Observer(metrics);
	const staleSockets = endStaleSockets(options, observer, (...backend) => reconciler.hasBackend(...backend));
	ends.defer(() => staleSockets.close());
	const dns = startDns(options, metrics.registry, (server) => reconciler.setOwnServer(server));
	const reconciler = new Reconciler({
		maps: dataplane.maps,
		connections: dataplane.connections,
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
		started() {
			dataplane.filled();
			staleSockets.adopt(dataplane.sockets);
		},
		backendsGone: (backends) => staleSockets.gone(backends),
	});
	// withdraws the DNS server with the last sync: the maps must not point to a closed server
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
			const counted = observer.sinks(reconciler.sinks(kind));
			parts.hostPorts = config.hostPorts ? new HostPorts(counted, kind) : undefined;
			parts.labels = socketLabels(options);
			return pipeline({
				counted,
				dns,
				hostPorts: parts.hostPorts,
				labels: parts.labels,
				nodeName: config.nodeName,
				addresses: (addresses) => dataplane.setNodeAddresses(addresses),
			});
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

/** undefined: the setting is a word. */
function cidrsOf(setting: string | readonly string[]): Cidr[] | undefined {
	if (typeof setting === 'string') return undefined;
	return setting.flatMap((text) => parseCidr(text) ?? []);
}

function endStaleSockets(
	{ dataplane, clock, log }: AgentOptions,
	observer: Observer,
	serves: StaleSocketsOptions['serves'],
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

/** Labels are read only with --socket-lb=labels. */
function socketLabels({ config, dataplane, log }: AgentOptions): SocketLabels | undefined {
	if (config.socketLb !== 'labels') return undefined;
	return new SocketLabels((pods) => {
		try {
			dataplane.leaveOut(pods);
			log.info({ pods: pods.length }, 'sockets.left-out');
		} catch (error) {
			log.warn({ err: error }, 'sockets.leave-out-failed');
		}
	});
}
