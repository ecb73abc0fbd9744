import type { Logger } from 'pino';
import type { BpfMap, ServiceMaps } from './bpf/port.ts';
import { counterRows } from './cli/counter-rows.ts';
import type { Config } from './config.ts';
import { Health } from './http/health.ts';
import { HealthCheckNodePorts } from './http/health-check-node-port.ts';
import { type AgentMetrics, createMetrics, type MapUse } from './http/metrics.ts';
import { healthRoutes, metricsRoutes } from './http/routes.ts';
import { type RunningServer, serve } from './http/server.ts';
import type { Clock } from './kube/clock.ts';
import type { ApiTarget } from './kube/kubeconfig.ts';
import { type ApiSource, watchApi } from './kube/source.ts';
import { openTransport } from './kube/transport.ts';
import { parseNode } from './model/node.ts';
import { Observer } from './observer.ts';
import { Reconciler } from './reconcile.ts';
import type { RawSink } from './reconcile-types.ts';

/** The programs and maps of this node, attached. */
export interface AgentDataplane {
	readonly maps: ServiceMaps;
	/** enum reason -> struct counter of every CPU. */
	readonly counters: BpfMap;
	/** What is attached where; and what works in a lesser way than it could, for people. */
	status(): { readonly attachments: readonly object[]; readonly degradations: readonly string[] };
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
	const parts: { source?: ApiSource; reconciler?: Reconciler } = {};
	const metrics = createMetrics(metricSources(options, parts), {
		version: options.version,
		abi: String(options.abi),
		node: process.version,
	});
	const observer = new Observer(metrics);
	const reconciler = new Reconciler({
		maps: dataplane.maps,
		nodeName: config.nodeName,
		log: observer.log(log.child({ part: 'reconcile' })),
		clock,
		random,
		tableSize: config.tableSize === 'auto' ? undefined : config.tableSize,
	});
	parts.reconciler = reconciler;
	const health = agentHealth(reconciler, clock);
	const servers = await startServers(options, reconciler, metrics, health, () => agentStatus(options, parts));
	const stopChecks = serveHealthChecks(options, reconciler, observer, health);
	options.started?.(servers);
	const transport = openTransport(target, (sample) => observer.request(sample));
	parts.source = watchApi({
		transport,
		nodeName: config.nodeName,
		endpointsSource: config.endpointsSource,
		sinks(kind) {
			const sinks = observer.sinks(reconciler.sinks(kind));
			return { ...sinks, node: nodeSink(options, sinks.node) };
		},
		log: log.child({ part: 'watch' }),
		signal,
		clock,
		random,
	});
	log.info({ node: config.nodeName, server: target.server.href }, 'agent.started');
	await Promise.all([reconciler.run(signal), parts.source.done]);
	transport.close();
	stopChecks();
	await Promise.all(Object.values(servers).map((server) => server.close()));
	log.info({ node: config.nodeName }, 'agent.stopped');
}

/** The node's addresses decide which devices are its uplinks. */
function nodeSink({ config, dataplane }: AgentOptions, sink: RawSink): RawSink {
	return {
		upsert(key, object) {
			const { addresses } = parseNode(object, config.nodeName).value;
			dataplane.setNodeAddresses(addresses.map((address) => address.text));
			sink.upsert(key, object);
		},
		remove: (key) => sink.remove(key),
		listed: () => sink.listed(),
	};
}

interface Servers {
	health?: RunningServer;
	metrics?: RunningServer;
}

/** Read from the reconciler whenever someone asks. */
function agentHealth(reconciler: Reconciler, clock: Clock): Health {
	return new Health({
		pendingMs() {
			const { synced, pendingSince } = reconciler.snapshot();
			return synced && pendingSince !== undefined ? clock.now() - pendingSince : undefined;
		},
		sinceAppliedMs() {
			const last = reconciler.snapshot().lastSync;
			return last && clock.now() - last.at;
		},
		eligible: () => !reconciler.snapshot().nodeLeaving,
	});
}

/** How often the servers of healthCheckNodePorts are compared with the Services; load balancers ask every few seconds. */
const HEALTH_CHECK_MS = 1_000;

/** @returns a function that ends it */
function serveHealthChecks(
	{ clock, log }: AgentOptions,
	reconciler: Reconciler,
	observer: Observer,
	health: Health,
): () => void {
	const servers = new HealthCheckNodePorts(() => health.live().ok, log.child({ part: 'http' }));
	let cancel = (): void => {};
	let seen = 0;
	const update = (): void => {
		if (observer.syncs !== seen) servers.update(reconciler.healthChecks());
		seen = observer.syncs;
		cancel = clock.after(HEALTH_CHECK_MS, update);
	};
	update();
	return () => {
		cancel();
		servers.close();
	};
}

async function startServers(
	options: AgentOptions,
	reconciler: Reconciler,
	metrics: AgentMetrics,
	health: Health,
	status: () => unknown,
): Promise<Servers> {
	const { config, dataplane, log } = options;
	const onError = (error: unknown): void => log.error({ err: error }, 'http.failed');
	const readiness = () => {
		const { synced, lastSync } = reconciler.snapshot();
		return { synced: synced && lastSync !== undefined, attached: dataplane.status().attachments.length > 0 };
	};
	const servers: Servers = {};
	if (config.healthAddress) {
		const routes = healthRoutes(health, readiness, metrics);
		servers.health = await serve(config.healthAddress, routes, '--health-address', onError);
	}
	if (config.metricsAddress) {
		const routes = metricsRoutes(metrics, status);
		servers.metrics = await serve(config.metricsAddress, routes, '--metrics-address', onError);
	}
	return servers;
}

interface Parts {
	source?: ApiSource;
	reconciler?: Reconciler;
}

function watchStates(clock: Clock, source: ApiSource | undefined) {
	return [...(source?.states() ?? [])].map(([resource, state]) => ({
		resource,
		...state,
		staleSeconds: state.lastContact === undefined ? undefined : (clock.now() - state.lastContact) / 1000,
	}));
}

function metricSources({ dataplane, clock }: AgentOptions, parts: Parts) {
	return {
		counters: () => counterRows(dataplane.counters),
		*maps(): Generator<MapUse> {
			const { maps } = dataplane;
			const counts = parts.reconciler?.snapshot().counts;
			yield use('frontends', maps.frontends.maxEntries, counts?.frontends);
			yield use('backends', maps.backends.maxEntries, counts?.backends);
			yield use('tables', maps.tables.chunks * maps.tables.limit, counts?.tableChunks);
		},
		*watches() {
			for (const { resource, staleSeconds } of watchStates(clock, parts.source)) {
				if (staleSeconds !== undefined) yield { resource, staleSeconds };
			}
		},
		problems() {
			const counts = new Map<string, number>();
			for (const { object } of parts.reconciler?.snapshot().problems ?? []) {
				const kind = object.split(' ', 1)[0]!;
				counts.set(kind, (counts.get(kind) ?? 0) + 1);
			}
			return [...counts].map(([kind, count]) => ({ kind, count }));
		},
		degradations: () => dataplane.status().degradations.length,
	};
}

function use(map: string, capacity: number, entries: number | undefined): MapUse {
	return entries === undefined ? { map, capacity } : { map, capacity, entries };
}

/** What `maglane status` and `maglane service list` ask for, as cli/agent-status.ts describes it. */
function agentStatus({ config, dataplane, clock, version }: AgentOptions, parts: Parts): unknown {
	const snapshot = parts.reconciler?.snapshot();
	const services = (parts.reconciler?.services() ?? []).flatMap(({ service, ports }) =>
		[...ports].map(([port, id]) => [id, `${service}:${port}`]),
	);
	const { attachments, degradations } = dataplane.status();
	return {
		node: config.nodeName,
		version,
		synced: snapshot?.synced === true && snapshot.lastSync !== undefined && snapshot.lastError === undefined,
		attachments,
		degradations,
		problems: snapshot?.problems ?? [],
		watches: Object.fromEntries(
			watchStates(clock, parts.source).map(({ resource, ...rest }) => [resource, rest]),
		),
		services: Object.fromEntries(services),
		counts: snapshot?.counts,
		totals: snapshot?.totals,
		...(snapshot?.lastError && { lastError: snapshot.lastError }),
	};
}
