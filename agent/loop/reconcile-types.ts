import type { Backend } from '../abi/layout.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Sink } from '../base/sink.ts';
import type { BpfMap, ServiceMaps } from '../bpf/port.ts';
import type { Cidr } from '../model/cidr.ts';
import type { Ip } from '../model/ip.ts';
import type { EndpointSource, Problem } from '../model/types.ts';
import type { PlanCounts } from '../plan/plan.ts';

export interface RawSinks {
	readonly services: Sink;
	readonly endpoints: Sink;
	readonly node: Sink;
}

export interface ReconcilerOptions {
	readonly maps: ServiceMaps;
	/** struct tuple -> struct conn. If present, TCP connections outlive their frontend. */
	readonly connections?: BpfMap;
	readonly nodeName: string;
	readonly log: Log;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	/** Size of every Maglev table, a prime; undefined: depends on the number of backends. */
	readonly tableSize?: number | undefined;
	/** Shortest time between two syncs, ms. One sync covers all changes in between. */
	readonly minIntervalMs?: number;
	/** Ranges of local addresses that serve NodePorts; undefined: the node's primary addresses. */
	readonly nodePortCidrs?: readonly Cidr[] | undefined;
	/** Ranges allowed for externalIPs; undefined: all addresses that are not reserved. */
	readonly externalCidrs?: readonly Cidr[] | undefined;
	/** Addresses at which the agent reaches the API server. */
	readonly apiServers?: readonly Ip[] | undefined;
	/** Ranges of ClusterIPs, besides those from serviceCidrSink(). */
	readonly serviceCidrs?: readonly Cidr[] | undefined;
	/** Time between two full reads of the kernel's maps, ms. */
	readonly verifyIntervalMs?: number;
	/** Called after the first sync. */
	readonly started?: () => void;
	/** Called before each sync with the Services read since the last, and their endpoint objects. */
	readonly changed?: (keys: ReadonlySet<string>, sources: (service: string) => EndpointSource[]) => void;
	/** Called before backends are removed from the maps, and again before each retry. */
	readonly backendsGone?: (backends: readonly Backend[]) => void;
}

/** Result of one sync. */
export interface SyncReport {
	/** Number of translated Services. */
	readonly translated: number;
	readonly writes: PlanCounts;
	readonly ms: number;
	/** From the first change that it covers to its end, ms; undefined: there was no change. */
	readonly latencyMs: number | undefined;
	/** The kernel's maps were read and compared in full. */
	readonly full: boolean;
}

/** State for health, metrics and the command line. Times are of the reconciler's clock, ms. */
export interface ReconcilerSnapshot {
	/** Every resource has been listed, and the node is known: writes are allowed. */
	readonly synced: boolean;
	readonly lastSync: { readonly at: number; readonly report: SyncReport } | undefined;
	/** Time of the first change that is not in the kernel; undefined: all are. */
	readonly pendingSince: number | undefined;
	/** Failed syncs since the last successful one, and the error of the last one. */
	readonly failures: number;
	readonly lastError: string | undefined;
	readonly totals: {
		readonly syncs: number;
		readonly failures: number;
		readonly writes: number;
		readonly drift: number;
	};
	readonly counts: {
		readonly services: number;
		readonly frontends: number;
		readonly backends: number;
		readonly tables: number;
		/** Of 64 bytes. */
		readonly tableChunks: number;
	};
	readonly problems: readonly Problem[];
	/** The node is deleted or about to be. */
	readonly nodeLeaving: boolean;
}

export type { HealthCheckService } from './health-checks.ts';
