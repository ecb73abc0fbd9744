import type { Backend } from './abi/layout.ts';
import type { ServiceMaps } from './bpf/port.ts';
import type { Cidr } from './model/cidr.ts';
import type { Ip } from './model/ip.ts';
import type { EndpointSource, Problem } from './model/types.ts';
import type { PlanCounts } from './plan/plan.ts';

/** Where a watch delivers the objects of one resource: raw JSON, read only when it is needed. */
export interface RawSink {
	/** @param key `namespace/name`, or the name of a node */
	upsert(key: string, object: unknown): void;
	remove(key: string): void;
	/** A complete list has been passed on. */
	listed(): void;
}

export interface RawSinks {
	readonly services: RawSink;
	readonly endpoints: RawSink;
	readonly node: RawSink;
}

export interface ReconcileLog {
	debug(fields: object, event: string): void;
	info(fields: object, event: string): void;
	warn(fields: object, event: string): void;
	error(fields: object, event: string): void;
	isLevelEnabled?(level: string): boolean;
}

/** Milliseconds of a clock that never goes back, and its timers. */
export interface ReconcileClock {
	now(): number;
	/** @returns a function that cancels */
	after(ms: number, run: () => void): () => void;
}

export interface ReconcilerOptions {
	readonly maps: ServiceMaps;
	readonly nodeName: string;
	readonly log: ReconcileLog;
	readonly clock: ReconcileClock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	/** A prime: size of every Maglev table; undefined: by the number of backends. */
	readonly tableSize?: number | undefined;
	/** Shortest time between two syncs, ms: what changes meanwhile is done in one. */
	readonly minIntervalMs?: number;
	/** Where NodePorts are served, of the addresses that setLocalAddresses() tells; undefined: the primary ones. */
	readonly nodePortCidrs?: readonly Cidr[] | undefined;
	/** Where externalIPs may lie; undefined: anywhere but at what is somebody's. */
	readonly externalCidrs?: readonly Cidr[] | undefined;
	/** Addresses at which the agent reaches the API server. */
	readonly apiServers?: readonly Ip[] | undefined;
	/** Ranges of ClusterIPs, beside those that serviceCidrSink() is told. */
	readonly serviceCidrs?: readonly Cidr[] | undefined;
	/** Time between two full reads of the kernel's maps, ms. */
	readonly verifyIntervalMs?: number;
	/** Told when the first sync is done. */
	readonly started?: () => void;
	/** Told which Services are read anew, with their endpoint objects; before they are translated. */
	readonly changed?: (keys: ReadonlySet<string>, sources: (service: string) => EndpointSource[]) => void;
	/** Told before backends are taken out of the maps; told again when that fails and is tried again. */
	readonly backendsGone?: (backends: readonly Backend[]) => void;
}

/** What one sync did. */
export interface SyncReport {
	/** Services that were translated. */
	readonly translated: number;
	readonly writes: PlanCounts;
	readonly ms: number;
	/** From the first change that it covers to its end, ms; undefined: there was none. */
	readonly latencyMs: number | undefined;
	/** The kernel's maps were read and compared in full. */
	readonly full: boolean;
}

/** State for health, metrics and the command line. Times are of the reconciler's clock, ms. */
export interface ReconcilerSnapshot {
	/** Every resource has been listed, and the node is known: writes are allowed. */
	readonly synced: boolean;
	readonly lastSync: { readonly at: number; readonly report: SyncReport } | undefined;
	/** When the first change that is not in the kernel came; undefined: all are. */
	readonly pendingSince: number | undefined;
	/** Failed syncs since the last good one, and why the last one failed. */
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

export type { HealthCheckService } from './model/health.ts';
