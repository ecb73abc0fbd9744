import type { Backend, Frontend, FrontendKey, Settings } from '../abi/layout.ts';
import { ipOfBytes } from '../model/ip.ts';
import { backendName, frontendName } from './kernel.ts';

/** Chunks of one table, one after the other in one segment. */
export interface ChunkWrite {
	readonly segment: number;
	/** Index of the first chunk. */
	readonly first: number;
	/** 64 bytes a chunk. */
	readonly content: Uint8Array;
}

/** A table as it is after the plan. */
export interface TableWrite {
	readonly ref: number;
	readonly size: number;
	/** The image's table. */
	readonly table: object;
	/** Empty: nothing of it differs. */
	readonly chunks: readonly ChunkWrite[];
}

/**
 * All writes of one sync, in the order in which they are done: what is referred to before what refers to it, and
 * the other way round where something goes, so that no packet sees a hole.
 */
export interface Plan {
	/** Frontends that the kernel has before it. */
	readonly known: number;
	readonly settings: Settings | undefined;
	/** Segments that must exist. */
	readonly segments: number;
	readonly backends: readonly { readonly id: number; readonly value: Backend }[];
	readonly tables: readonly TableWrite[];
	readonly frontends: readonly { readonly key: FrontendKey; readonly value: Frontend }[];
	readonly goneFrontends: readonly FrontendKey[];
	/** Their ids name nothing any more. */
	readonly goneBackends: readonly { readonly id: number; readonly value: Backend }[];
}

export interface PlanCounts {
	readonly settings: number;
	readonly backends: number;
	readonly chunks: number;
	readonly frontends: number;
	readonly goneFrontends: number;
	readonly goneBackends: number;
}

export function countPlan(plan: Plan): PlanCounts {
	return {
		settings: plan.settings ? 1 : 0,
		backends: plan.backends.length,
		chunks: plan.tables.reduce((sum, t) => sum + t.chunks.reduce((n, c) => n + c.content.length / 64, 0), 0),
		frontends: plan.frontends.length,
		goneFrontends: plan.goneFrontends.length,
		goneBackends: plan.goneBackends.length,
	};
}

/** Entries that a plan writes or deletes. */
export function planSize(plan: Plan): number {
	return Object.values(countPlan(plan)).reduce((sum, n) => sum + n, 0);
}

/** One line for each write, in order; for debugging and tests. */
export function printPlan(plan: Plan): string {
	const lines: string[] = [];
	if (plan.settings) {
		const { snatV4, snatV6 } = plan.settings;
		lines.push(`set snat ${ipOfBytes(snatV4).text} ${ipOfBytes(snatV6).text}`);
	}
	for (const { id, value } of plan.backends) {
		lines.push(`set backend ${id} ${backendName(value)} flags ${value.flags} generation ${value.generation}`);
	}
	for (const { segment, first, content } of plan.tables.flatMap((table) => table.chunks)) {
		lines.push(`set table ${segment}:${first} ${content.length / 64} chunks`);
	}
	for (const { key, value } of plan.frontends) {
		const table = value.tableSize === 0 ? 'none' : `${value.table >>> 16}:${value.table & 0xffff}`;
		const { serviceId, flags, backends, tableSize, affinitySeconds } = value;
		const rest = `table ${table} size ${tableSize} backends ${backends} affinity ${affinitySeconds}`;
		lines.push(`set frontend ${frontendName(key)} service ${serviceId} flags ${flags} ${rest}`);
	}
	for (const key of plan.goneFrontends) lines.push(`delete frontend ${frontendName(key)}`);
	for (const { id, value } of plan.goneBackends) {
		lines.push(`clear backend ${id} ${backendName(value)} generation ${value.generation}`);
	}
	return lines.join('\n');
}
