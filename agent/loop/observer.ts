import type { Log } from '../base/log.ts';
import type { Sink } from '../base/sink.ts';
import { type AgentMetrics, BOTH_FAMILIES } from '../http/metrics.ts';
import type { RequestSample } from '../kube/transport.ts';
import type { RawSinks, SyncReport } from './reconcile-types.ts';

/** Annotation of an endpoint object: time of the Pod or Service change behind its last write. */
const TRIGGER = 'endpoints.kubernetes.io/last-change-trigger-time';
/** Longer latencies are ignored, as in kube-proxy: the clocks of two machines differ. */
const LONGEST_LATENCY_S = 3600;

/** Keeps kube-proxy's metrics of the API's watches, the reconciler and its log. */
export class Observer {
	readonly #metrics: AgentMetrics;
	readonly #now: () => number;
	/** Number of syncs. State that only syncs change is read again only when it grows. */
	syncs = 0;
	/** Trigger times of endpoint changes that have not been written yet, ms since 1970. */
	#triggers: number[] = [];

	/** @param now milliseconds since 1970 */
	constructor(metrics: AgentMetrics, now: () => number = Date.now) {
		this.#metrics = metrics;
		this.#now = now;
	}

	/** The same sinks, with counters. */
	sinks(sinks: RawSinks): RawSinks {
		const { serviceChanges, servicePending, endpointChanges, endpointPending } = this.#metrics;
		return {
			services: this.#counted(sinks.services, () => {
				serviceChanges.inc();
				servicePending.inc();
			}),
			endpoints: this.#counted(sinks.endpoints, (object, listed) => {
				endpointChanges.inc();
				endpointPending.inc();
				const trigger = triggerTime(object);
				// changes before the first list say nothing about the latency of this agent
				if (listed && trigger !== undefined) this.#triggers.push(trigger);
			}),
			node: sinks.node,
		};
	}

	/** The same log; the syncs that it reports are measured. */
	log(log: Log): Log {
		const told = (fields: object, event: string): void => {
			if (event === 'sync.done' || event === 'sync.drift') this.synced(fields as SyncReport);
			if (event === 'sync.failed') this.#metrics.syncFailures.inc();
		};
		const level =
			(name: 'debug' | 'info' | 'warn' | 'error') =>
			(fields: object, event: string): void => {
				told(fields, event);
				log[name](fields, event);
			};
		return {
			debug: level('debug'),
			info: level('info'),
			warn: level('warn'),
			error: level('error'),
			isLevelEnabled: (name) => log.isLevelEnabled?.(name) ?? false,
		};
	}

	/** Records a successful sync. */
	synced(report: SyncReport): void {
		this.syncs++;
		const metrics = this.#metrics;
		const seconds = report.ms / 1000;
		const now = this.#now();
		metrics.syncDuration.observe(BOTH_FAMILIES, seconds);
		(report.full ? metrics.fullSyncDuration : metrics.partialSyncDuration).observe(BOTH_FAMILIES, seconds);
		metrics.lastSync.set(BOTH_FAMILIES, now / 1000);
		metrics.servicePending.set(0);
		metrics.endpointPending.set(0);
		for (const [map, count] of Object.entries(report.writes)) {
			if (count > 0) metrics.mapWrites.inc({ operation: map }, count);
		}
		for (const trigger of this.#triggers.splice(0)) {
			const latency = Math.max(0, (now - trigger) / 1000);
			if (latency <= LONGEST_LATENCY_S) metrics.programmingDuration.observe(BOTH_FAMILIES, latency);
		}
	}

	/** Records a request to the API server. */
	request(sample: RequestSample): void {
		const { code, verb, host, seconds } = sample;
		this.#metrics.requests.inc({ code, method: verb, host });
		this.#metrics.requestDuration.observe({ verb, host }, seconds);
	}

	/** Records sockets that were destroyed because their backend is gone. */
	destroyed(protocol: 'tcp' | 'udp', sockets: number): void {
		this.#metrics.socketsDestroyed.inc({ protocol }, sockets);
	}

	destroyFailed(): void {
		this.#metrics.socketFailures.inc();
	}

	#counted(sink: Sink, change: (object: unknown, listed: boolean) => void): Sink {
		let listed = false;
		const changed = (object?: unknown): void => {
			this.#metrics.lastQueued.set(BOTH_FAMILIES, this.#now() / 1000);
			change(object, listed);
		};
		return {
			...sink,
			upsert(key, object) {
				changed(object);
				sink.upsert(key, object);
			},
			remove(key) {
				changed();
				sink.remove(key);
			},
			listed() {
				listed = true;
				sink.listed();
			},
		};
	}
}

function triggerTime(object: unknown): number | undefined {
	const annotations = (object as { metadata?: { annotations?: Record<string, unknown> } } | undefined)
		?.metadata?.annotations;
	const time = Date.parse(String(annotations?.[TRIGGER]));
	return Number.isNaN(time) ? undefined : time;
}
