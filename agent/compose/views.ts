import type { Clock } from '../base/clock.ts';
import type { AgentStatus } from '../cli/agent-status.ts';
import { counterRows } from '../cli/counter-rows.ts';
import type { HostPorts } from '../features/host-ports.ts';
import type { SocketLabels } from '../features/socket-labels.ts';
import type { MapUse, MetricSources } from '../http/metrics.ts';
import type { ApiSource } from '../kube/source.ts';
import type { Reconciler } from '../loop/reconcile.ts';
import type { AgentOptions } from './options.ts';

/** Parts of a running agent for queries. They appear as it starts. */
export interface Parts {
	source?: ApiSource;
	reconciler?: Reconciler;
	hostPorts?: HostPorts | undefined;
	labels?: SocketLabels | undefined;
}

/** Degradations of the node and of the agent's parts, in words. */
function degradationsOf({ dataplane }: AgentOptions, { hostPorts, labels }: Parts): string[] {
	const own = [hostPorts?.degradation, labels?.degradation];
	return [...dataplane.status().degradations, ...own.filter((text) => text !== undefined)];
}

function watchStates(clock: Clock, source: ApiSource | undefined) {
	return [...(source?.states() ?? [])].map(([resource, { lastContact, ...state }]) => ({
		resource,
		...state,
		...(lastContact !== undefined && { staleSeconds: (clock.now() - lastContact) / 1000 }),
	}));
}

/** Sources of the metrics. */
export function metricSources(options: AgentOptions, parts: Parts): MetricSources {
	const { dataplane, clock } = options;
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
		degradations: () => degradationsOf(options, parts).length,
	};
}

function use(map: string, capacity: number, entries: number | undefined): MapUse {
	return entries === undefined ? { map, capacity } : { map, capacity, entries };
}

/** Status for `maglane status` and `maglane service list`, with more fields for people. */
export function agentStatus(
	options: AgentOptions,
	parts: Parts,
): AgentStatus & Readonly<Record<string, unknown>> {
	const { config, dataplane, clock, version } = options;
	const snapshot = parts.reconciler?.snapshot();
	const services = (parts.reconciler?.services() ?? []).flatMap(({ service, ports }) =>
		[...ports].map(([port, id]) => [id, `${service}:${port}`]),
	);
	const { attachments } = dataplane.status();
	return {
		node: config.nodeName,
		version,
		synced: snapshot?.synced === true && snapshot.lastSync !== undefined && snapshot.lastError === undefined,
		attachments,
		degradations: degradationsOf(options, parts),
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
