import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { RCODE, TYPE } from './record.ts';
import type { Observed } from './resolver.ts';

/** CoreDNS's buckets, with finer ones for answers from memory. */
const BUCKETS = [0.00001, 0.00002, 0.00005, 0.0001, 0.00025, 0.001, 0.004, 0.016, 0.064, 0.256, 1, 4];

const TYPES = new Map(Object.entries(TYPE).map(([name, number]) => [number as number, name]));
const RCODES = new Map(Object.entries(RCODE).map(([name, number]) => [number as number, name]));

export interface DnsMetrics {
	answered(observed: Observed): void;
	forwarded(what: 'hit' | 'miss' | 'failed'): void;
}

/** State that is read at each scrape. */
export interface DnsState {
	/** Numbers of names in the zone and of cached answers. */
	readonly names: () => number;
	readonly cached: () => number;
}

/** Metrics of the DNS server. Rare types share one series, so that clients cannot create more. */
export function dnsMetrics(registry: Registry, state: DnsState): DnsMetrics {
	const registers = [registry];
	const requests = new Counter({
		name: 'maglane_dns_requests_total',
		help: 'DNS queries, by their type and transport',
		labelNames: ['type', 'transport'],
		registers,
	});
	const responses = new Counter({
		name: 'maglane_dns_responses_total',
		help: 'Answers to DNS queries, by their code',
		labelNames: ['rcode'],
		registers,
	});
	const duration = new Histogram({
		name: 'maglane_dns_request_duration_seconds',
		help: 'From a DNS query to its answer',
		buckets: BUCKETS,
		registers,
	});
	const lookups = new Counter({
		name: 'maglane_dns_cache_lookups_total',
		help: 'Questions outside the cluster zone, by cache result',
		labelNames: ['result'],
		registers,
	});
	const failures = new Counter({
		name: 'maglane_dns_forward_failures_total',
		help: 'Questions outside the cluster zone that no server answered',
		registers,
	});
	gauge(registry, 'maglane_dns_names', 'Names of the cluster', state.names);
	gauge(
		registry,
		'maglane_dns_cache_entries',
		'Cached answers for names outside the cluster zone',
		state.cached,
	);
	return {
		answered({ type, transport, rcode, seconds }) {
			requests.inc({ type: TYPES.get(type) ?? 'other', transport });
			responses.inc({ rcode: RCODES.get(rcode) ?? String(rcode) });
			duration.observe(seconds);
		},
		forwarded(what) {
			if (what === 'failed') failures.inc();
			else lookups.inc({ result: what });
		},
	};
}

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
	new Gauge({
		name,
		help,
		registers: [registry],
		collect() {
			this.set(read());
		},
	});
}
