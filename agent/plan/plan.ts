import type {
	Backend,
	Frontend,
	FrontendKey,
	ServiceCidrs,
	Settings,
	SourceRangeKey,
} from '../abi/layout.ts';
import { ipOfBytes } from '../model/ip.ts';
import type { WordWrite } from './bits.ts';
import { backendKey, backendName, frontendName, sourceRangeName } from './kernel.ts';

/** Consecutive chunks of one table, in one segment. */
export interface ChunkWrite {
	readonly segment: number;
	/** Index of the first chunk. */
	readonly first: number;
	/** 64 bytes for each chunk. */
	readonly content: Uint8Array;
}

/** A table after the plan. */
export interface TableWrite {
	readonly ref: number;
	readonly size: number;
	/** The image's table. */
	readonly table: object;
	/** Empty: the kernel's content is equal. */
	readonly chunks: readonly ChunkWrite[];
}

/**
 * All writes of one sync, in order. An entry is written before the entries that refer to it, and
 * deleted after them, so that no packet finds a dangling reference.
 */
export interface Plan {
	/** Entries in the kernel's maps before the plan. */
	readonly known: {
		readonly frontends: number;
		readonly sourceRanges: number;
		readonly addresses: number;
	};
	readonly settings: Settings | undefined;
	/**
	 * A packet to an address in these ranges that no Service has is dropped. So old ranges are
	 * removed before any other write, and new ones are added last. `keptServiceCidrs` are the ranges
	 * of both.
	 */
	readonly serviceCidrs: ServiceCidrs | undefined;
	readonly keptServiceCidrs: ServiceCidrs | undefined;
	/** Segments that must exist. */
	readonly segments: number;
	readonly backends: readonly { readonly id: number; readonly value: Backend }[];
	readonly tables: readonly TableWrite[];
	readonly frontends: readonly { readonly key: FrontendKey; readonly value: Frontend }[];
	readonly goneFrontends: readonly FrontendKey[];
	/**
	 * Words with bits that only new frontends have, written before these. clearFrontendBits() clears
	 * the bits of gone ones.
	 */
	readonly frontendWords: readonly WordWrite[];
	/**
	 * Values of frontend_epoch around the writes of frontends, when UDP frontends change hands or go.
	 */
	readonly frontendEpoch: { readonly during: number; readonly after: number } | undefined;
	/** Cleared entries: their ids name no backend any more. */
	readonly goneBackends: readonly { readonly id: number; readonly value: Backend }[];
	/** Written before the frontends that use them, and deleted after those. */
	readonly sourceRanges: readonly SourceRangeKey[];
	readonly goneSourceRanges: readonly SourceRangeKey[];
	/**
	 * Written after the frontends, and deleted before them: while ports of an address are missing,
	 * none is refused.
	 */
	readonly addresses: readonly { readonly addr: Uint8Array; readonly flags: number }[];
	readonly goneAddresses: readonly Uint8Array[];
	readonly addressWords: readonly WordWrite[];
}

export interface PlanCounts {
	readonly settings: number;
	readonly backends: number;
	readonly chunks: number;
	readonly frontends: number;
	readonly goneFrontends: number;
	readonly frontendWords: number;
	readonly goneBackends: number;
	readonly sourceRanges: number;
	readonly goneSourceRanges: number;
	readonly addresses: number;
	readonly goneAddresses: number;
	readonly addressWords: number;
}

export function countPlan(plan: Plan): PlanCounts {
	return {
		settings: (plan.settings ? 1 : 0) + (plan.serviceCidrs ? 1 : 0),
		backends: plan.backends.length,
		chunks: plan.tables.reduce((sum, t) => sum + t.chunks.reduce((n, c) => n + c.content.length / 64, 0), 0),
		frontends: plan.frontends.length,
		goneFrontends: plan.goneFrontends.length,
		frontendWords: plan.frontendWords.length,
		goneBackends: plan.goneBackends.length,
		sourceRanges: plan.sourceRanges.length,
		goneSourceRanges: plan.goneSourceRanges.length,
		addresses: plan.addresses.length,
		goneAddresses: plan.goneAddresses.length,
		addressWords: plan.addressWords.length,
	};
}

/** Entries that a plan writes or deletes. */
export function planSize(plan: Plan): number {
	return Object.values(countPlan(plan)).reduce((sum, n) => sum + n, 0);
}

/** The part of a plan that adds and changes entries: it deletes nothing and closes no range. */
export function additionsOf(plan: Plan): Plan {
	return {
		...plan,
		serviceCidrs: undefined,
		goneFrontends: [],
		goneBackends: [],
		goneSourceRanges: [],
		goneAddresses: [],
	};
}

/** One line for each write, in order; for debugging and tests. */
export function printPlan(plan: Plan): string {
	const lines: string[] = [];
	if (plan.settings) {
		const { snatV4, snatV6 } = plan.settings;
		lines.push(`set snat ${ipOfBytes(snatV4).text} ${ipOfBytes(snatV6).text}`);
	}
	if (plan.serviceCidrs) lines.push(`set ${plan.serviceCidrs.count} service CIDRs`);
	for (const { id, value } of plan.backends) {
		const { serviceId, flags, generation } = value;
		const name = backendKey(backendName(value), serviceId);
		lines.push(`set backend ${id} ${name} flags ${flags} generation ${generation}`);
	}
	for (const { segment, first, content } of plan.tables.flatMap((table) => table.chunks)) {
		lines.push(`set table ${segment}:${first} ${content.length / 64} chunks`);
	}
	for (const key of plan.sourceRanges) lines.push(`set source range ${sourceRangeName(key)}`);
	if (plan.frontendWords.length > 0) lines.push(`set ${plan.frontendWords.length} words of frontend bits`);
	if (plan.frontendEpoch) lines.push(`set frontend epoch ${plan.frontendEpoch.during}`);
	for (const { key, value } of plan.frontends) {
		const table = value.tableSize === 0 ? 'none' : `${value.table >>> 16}:${value.table & 0xffff}`;
		const { serviceId, flags, backends, tableSize, affinitySeconds } = value;
		const rest = `table ${table} size ${tableSize} backends ${backends} affinity ${affinitySeconds}`;
		lines.push(`set frontend ${frontendName(key)} service ${serviceId} flags ${flags} ${rest}`);
	}
	for (const { addr, flags } of plan.addresses)
		lines.push(`set address ${ipOfBytes(addr).text} flags ${flags}`);
	if (plan.addressWords.length > 0) lines.push(`set ${plan.addressWords.length} words of address bits`);
	for (const addr of plan.goneAddresses) lines.push(`delete address ${ipOfBytes(addr).text}`);
	for (const key of plan.goneFrontends) lines.push(`delete frontend ${frontendName(key)}`);
	for (const key of plan.goneSourceRanges) lines.push(`delete source range ${sourceRangeName(key)}`);
	for (const { id, value } of plan.goneBackends) {
		const name = backendKey(backendName(value), value.serviceId);
		lines.push(`clear backend ${id} ${name} generation ${value.generation}`);
	}
	if (plan.frontendEpoch) lines.push(`set frontend epoch ${plan.frontendEpoch.after}`);
	return lines.join('\n');
}
