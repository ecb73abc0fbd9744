import type { AgentOptions } from './agent.ts';
import type { AgentStatus } from './cli/agent-status.ts';
import { counterRows } from './cli/counter-rows.ts';
import type { MapUse, MetricSources } from './http/metrics.ts';
import type { Clock } from './kube/clock.ts';
import type { ApiSource } from './kube/source.ts';
import type { Reconciler } from './reconcile.ts';

/** What can be asked about a running agent; parts appear as it starts. */
export interface Parts {
	source?: ApiSource;
	reconciler?: Reconciler;
}

function watchStates(clock: Clock, source: ApiSource | undefined) {
	return [...(source?.states() ?? [])].map(([resource, { lastContact, ...state }]) => ({
		resource,
		...state,
		...(lastContact !== undefined && { staleSeconds: (clock.now() - lastContact) / 1000 }),
	}));
}

/** What a scrape reads. */
export function metricSources({ dataplane, clock }: AgentOptions, parts: Parts): MetricSources {
	return {
		counters: () => counterRows(dataplane.counters),
		*maps() {
			const { frontends, backends, tables } = dataplane.maps;
			const counts = parts.reconciler?.snapshot().counts;
			yield use('frontends', frontends.maxEntries, counts?.frontends);
			yield use('backends', backends.maxEntries, counts?.backends);
			yield use('tables', tables.chunks * tables.limit, counts?.tableChunks);
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
		noLocalEndpoints: () => parts.reconciler?.noLocalEndpoints() ?? { internal: 0, external: 0 },
		degradations: () => dataplane.status().degradations.length,
	};
}

function use(map: string, capacity: number, entries: number | undefined): MapUse {
	return entries === undefined ? { map, capacity } : { map, capacity, entries };
}

/** What `maglane status` and `maglane service list` ask for, and more for people. */
export function agentStatus(
	{ config, dataplane, clock, version }: AgentOptions,
	parts: Parts,
): AgentStatus & Readonly<Record<string, unknown>> {
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
