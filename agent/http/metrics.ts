import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Values of one datapath counter. */
export interface ReasonCount {
	readonly reason: string;
	readonly packets: bigint;
	readonly bytes: bigint;
}

export interface MapUse {
	readonly map: string;
	/** Number of entries; undefined if counting would require a walk over the map. */
	readonly entries?: number;
	readonly capacity: number;
}

/** Sources that are read only at scrapes. */
export interface MetricSources {
	counters(): Iterable<ReasonCount>;
	maps(): Iterable<MapUse>;
	/** Seconds since the API server sent anything about a resource. */
	watches(): Iterable<{ readonly resource: string; readonly staleSeconds: number }>;
	/** Parts of objects that are not served, by kind. */
	problems(): Iterable<{ readonly kind: string; readonly count: number }>;
	/**
	 * Number of Services with policy Local whose endpoints are all on other nodes, by traffic policy.
	 */
	noLocalEndpoints(): Readonly<Record<'internal' | 'external', number>>;
	/** Number of limited or missing functions; 0 when all work as configured. */
	degradations(): number;
}

export interface BuildInfo {
	readonly version: string;
	readonly abi: string;
	readonly node: string;
}

export interface AgentMetrics {
	readonly registry: Registry;
	readonly syncDuration: Histogram<'ip_family'>;
	readonly fullSyncDuration: Histogram<'ip_family'>;
	readonly partialSyncDuration: Histogram<'ip_family'>;
	readonly programmingDuration: Histogram<'ip_family'>;
	readonly lastSync: Gauge<'ip_family'>;
	readonly lastQueued: Gauge<'ip_family'>;
	readonly serviceChanges: Counter;
	readonly servicePending: Gauge;
	readonly endpointChanges: Counter;
	readonly endpointPending: Gauge;
	readonly syncFailures: Counter;
	readonly mapWrites: Counter<'operation'>;
	readonly socketsDestroyed: Counter<'protocol'>;
	readonly socketFailures: Counter;
	readonly healthz: Counter<'code'>;
	readonly livez: Counter<'code'>;
	readonly requests: Counter<'code' | 'method' | 'host'>;
	readonly requestDuration: Histogram<'verb' | 'host'>;
}

/** One pass writes both families, so there is one series where kube-proxy has two. */
export const BOTH_FAMILIES = { ip_family: 'dual' } as const;

/** kube-proxy's buckets: 1 ms, doubled 14 times (pkg/proxy/metrics/metrics.go). */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

/** kube-proxy's buckets of network programming latency: finest around the objective. */
const PROGRAMMING_BUCKETS = [0.25, 0.5, ...range(1, 59, 1), ...range(60, 115, 5), ...range(120, 300, 30)];

function range(first: number, last: number, step: number): number[] {
	return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
}

/**
 * Metrics with kube-proxy's names, so that its alerts and dashboards continue to work, and our own
 * ones.
 */
export function createMetrics(sources: MetricSources, build: BuildInfo): AgentMetrics {
	const registry = new Registry();
	const registers = [registry];
	collectDefaultMetrics({ register: registry });
	const family = ['ip_family'] as const;
	const histogram = (name: string, help: string, buckets: number[]): Histogram<'ip_family'> =>
		new Histogram({ name: `kubeproxy_${name}`, help, buckets, labelNames: family, registers });
	const gauge = (name: string, help: string): Gauge<'ip_family'> =>
		new Gauge({ name: `kubeproxy_${name}`, help, labelNames: family, registers });
	const sync = 'sync_proxy_rules';
	addSources(registry, sources, build);
	return {
		registry,
		syncDuration: histogram(`${sync}_duration_seconds`, 'Duration of a sync', SYNC_BUCKETS),
		fullSyncDuration: histogram(
			'sync_full_proxy_rules_duration_seconds',
			'Duration of a sync that compared everything with the kernel',
			SYNC_BUCKETS,
		),
		partialSyncDuration: histogram(
			'sync_partial_proxy_rules_duration_seconds',
			'Duration of a sync of changes only',
			SYNC_BUCKETS,
		),
		programmingDuration: histogram(
			'network_programming_duration_seconds',
			'From the change of a Pod or Service to its being in the kernel',
			PROGRAMMING_BUCKETS,
		),
		lastSync: gauge(`${sync}_last_timestamp_seconds`, 'When the last sync succeeded'),
		lastQueued: gauge(`${sync}_last_queued_timestamp_seconds`, 'When the last change was queued'),
		serviceChanges: new Counter({
			name: `kubeproxy_${sync}_service_changes_total`,
			help: 'Changes of Services',
			registers,
		}),
		servicePending: new Gauge({
			name: `kubeproxy_${sync}_service_changes_pending`,
			help: 'Changes of Services that wait to be written',
			registers,
		}),
		endpointChanges: new Counter({
			name: `kubeproxy_${sync}_endpoint_changes_total`,
			help: 'Changes of endpoints',
			registers,
		}),
		endpointPending: new Gauge({
			name: `kubeproxy_${sync}_endpoint_changes_pending`,
			help: 'Changes of endpoints that wait to be written',
			registers,
		}),
		syncFailures: new Counter({ name: 'maglane_sync_failures_total', help: 'Syncs that failed', registers }),
		mapWrites: new Counter({
			name: 'maglane_map_writes_total',
			help: 'Entries written to and deleted from BPF maps',
			labelNames: ['operation'],
			registers,
		}),
		socketsDestroyed: new Counter({
			name: 'maglane_sockets_destroyed_total',
			help: 'Sockets that were connected to a backend that is gone',
			labelNames: ['protocol'],
			registers,
		}),
		socketFailures: new Counter({
			name: 'maglane_socket_destroy_failures_total',
			help: 'Times that sockets of a backend that is gone could not be destroyed',
			registers,
		}),
		healthz: codes('kubeproxy_proxy_healthz_total', 'Answers of /healthz', registers),
		livez: codes('kubeproxy_proxy_livez_total', 'Answers of /livez', registers),
		requests: new Counter({
			name: 'rest_client_requests_total',
			help: 'Requests to the API server',
			labelNames: ['code', 'method', 'host'],
			registers,
		}),
		requestDuration: new Histogram({
			name: 'rest_client_request_duration_seconds',
			help: 'Time to the first byte of an answer of the API server',
			labelNames: ['verb', 'host'],
			buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60],
			registers,
		}),
	};
}

function codes(name: string, help: string, registers: Registry[]): Counter<'code'> {
	return new Counter({ name, help, labelNames: ['code'], registers });
}

function addSources(registry: Registry, sources: MetricSources, build: BuildInfo): void {
	const registers = [registry];
	const reason = ['reason'] as const;
	// a metric that fills others must come first: the registry collects in this order
	new Counter({
		name: 'maglane_datapath_packets_total',
		help: 'Packets and socket calls, by outcome',
		labelNames: reason,
		registers,
		collect() {
			// set the kernel's absolute values instead of adding to them
			this.reset();
			bytes.reset();
			for (const { reason, packets, bytes: count } of sources.counters()) {
				this.inc({ reason }, Number(packets));
				bytes.inc({ reason }, Number(count));
			}
		},
	});
	const bytes = new Counter({
		name: 'maglane_datapath_bytes_total',
		help: 'Bytes of packets, by outcome',
		labelNames: reason,
		registers,
	});
	new Gauge({
		name: 'maglane_map_capacity',
		help: 'Entries that a BPF map can hold',
		labelNames: ['map'],
		registers,
		collect() {
			for (const use of sources.maps()) {
				this.set({ map: use.map }, use.capacity);
				if (use.entries !== undefined) entries.set({ map: use.map }, use.entries);
			}
		},
	});
	const entries = new Gauge({
		name: 'maglane_map_entries',
		help: 'Entries of a BPF map',
		labelNames: ['map'],
		registers,
	});
	new Gauge({
		name: 'maglane_watch_stale_seconds',
		help: 'Since the API server sent anything about a resource',
		labelNames: ['resource'],
		registers,
		collect() {
			for (const { resource, staleSeconds } of sources.watches()) this.set({ resource }, staleSeconds);
		},
	});
	new Gauge({
		name: 'maglane_object_problems',
		help: 'Fields of objects that could not be used',
		labelNames: ['kind'],
		registers,
		collect() {
			this.reset();
			for (const { kind, count } of sources.problems()) this.inc({ kind }, count);
		},
	});
	new Gauge({
		name: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
		help: 'Services with policy Local that have endpoints on other nodes only',
		labelNames: ['traffic_policy'],
		registers,
		collect() {
			for (const [policy, count] of Object.entries(sources.noLocalEndpoints()))
				this.set({ traffic_policy: policy }, count);
		},
	});
	new Gauge({
		name: 'maglane_degradations',
		help: 'Things that work in a lesser way than configured or possible',
		registers,
		collect() {
			this.set(sources.degradations());
		},
	});
	new Gauge({
		name: 'maglane_build_info',
		help: 'Always 1',
		labelNames: ['version', 'abi', 'node_version'],
		registers,
	}).set({ version: build.version, abi: build.abi, node_version: build.node }, 1);
}
