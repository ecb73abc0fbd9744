import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { RCODE, TYPE } from './record.ts';
import type { Observed } from './resolver.ts';

/** Buckets as CoreDNS has them, and finer ones for what is answered from memory. */
const BUCKETS = [0.00001, 0.00002, 0.00005, 0.0001, 0.00025, 0.001, 0.004, 0.016, 0.064, 0.256, 1, 4];

const TYPES = new Map(Object.entries(TYPE).map(([name, number]) => [number as number, name]));
const RCODES = new Map(Object.entries(RCODE).map(([name, number]) => [number as number, name]));

export interface DnsMetrics {
	answered(observed: Observed): void;
	forwarded(what: 'hit' | 'miss' | 'failed'): void;
}

/** What is read at a scrape. */
export interface DnsState {
	/** Names of the zone, and answers of others that are kept. */
	readonly names: () => number;
	readonly cached: () => number;
}

/** Metrics of the DNS server. Types that are rare have one series together, so that clients cannot make more. */
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
		help: 'Questions about names of others, by whether the answer was kept from before',
		labelNames: ['result'],
		registers,
	});
	const failures = new Counter({
		name: 'maglane_dns_forward_failures_total',
		help: 'Questions about names of others that nobody answered',
		registers,
	});
	gauge(registry, 'maglane_dns_names', 'Names of the cluster', state.names);
	gauge(registry, 'maglane_dns_cache_entries', 'Answers about names of others that are kept', state.cached);
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
