import {
	type Frontend,
	FrontendFlag,
	type FrontendKey,
	FrontendScope,
	ServiceAddressFlag,
	type SourceRangeKey,
} from '../abi/layout.ts';
import { PROTOCOLS } from '../abi/protocol.ts';
import { type Cidr, cidrBytes, mappedBits } from '../model/cidr.ts';
import type * as model from '../model/translate.ts';

export interface BackendEntry {
	readonly id: number;
	readonly backend: model.Backend;
	/** Id of its Service port. */
	readonly serviceId: number;
	/** While a Service replaces itself there are two users, of which one may be local. */
	users: number;
	localUsers: number;
}

export interface TableEntry {
	/** Service port, size and sorted backends: frontends share a table if all of these are equal. */
	readonly name: string;
	readonly serviceId: number;
	readonly ref: number;
	readonly size: number;
	/** Sorted by key. */
	readonly backends: readonly string[];
	users: number;
}

export interface FrontendEntry {
	readonly key: FrontendKey;
	readonly value: Frontend;
	/** Key of the Service. */
	readonly owner: string;
}

/** An address of Services that does not belong to the node. */
export interface AddressEntry {
	readonly addr: Uint8Array;
	/** enum service_address_flag, by key of the Service that sets it. */
	readonly users: Map<string, number>;
}

/** Resources of one Service. They are released together. */
export interface Held {
	readonly frontends: Map<string, FrontendEntry>;
	readonly tables: TableEntry[];
	readonly backends: { readonly entry: BackendEntry; readonly local: boolean }[];
	readonly ports: Set<string>;
	/** Flags that this Service sets, by address. */
	readonly addresses: Map<string, { readonly addr: Uint8Array; flags: number }>;
	readonly sourceRanges: Map<string, SourceRangeKey>;
}

export function emptyHeld(): Held {
	return {
		frontends: new Map(),
		tables: [],
		backends: [],
		ports: new Set(),
		addresses: new Map(),
		sourceRanges: new Map(),
	};
}

/** No id or table memory is left. The Service stays unchanged. */
export class CapacityError extends Error {
	override readonly name = 'CapacityError';
}

/** Names of entries that may differ from the kernel. */
export interface Touched {
	readonly frontends: Set<string>;
	/** Ids. */
	readonly backends: Set<number>;
	/** References. */
	readonly tables: Set<number>;
	readonly addresses: Set<string>;
	readonly sourceRanges: Set<string>;
}

const KIND_FLAGS = {
	clusterip: FrontendFlag.CLUSTERIP,
	nodeport: FrontendFlag.NODEPORT,
	loadbalancer: FrontendFlag.LOADBALANCER,
	externalip: FrontendFlag.EXTERNALIP,
} as const;

export function flagsOf(frontend: model.Frontend): number {
	const loopback = frontend.loopback ? FrontendFlag.LOOPBACK : 0;
	const drop = frontend.drop ? FrontendFlag.DROP : 0;
	return KIND_FLAGS[frontend.kind] | loopback | drop | (frontend.sources ? FrontendFlag.RANGES : 0);
}

/** Flags that a frontend sets for its address. */
export function addressFlags(frontend: model.Frontend): number {
	const { CLUSTERIP, USABLE_EXTERNAL, USABLE_INTERNAL } = ServiceAddressFlag;
	const usable = frontend.scope === 'external' ? USABLE_EXTERNAL : USABLE_INTERNAL;
	return (frontend.kind === 'clusterip' ? CLUSTERIP : 0) | (frontend.backends.length > 0 ? usable : 0);
}

export function sourceRangeKey(serviceId: number, range: Cidr): SourceRangeKey {
	return { prefixLen: 32 + mappedBits(range), serviceId, addr: cidrBytes(range).net };
}

export function frontendKey(frontend: model.Frontend): FrontendKey {
	return {
		addr: frontend.ip.bytes,
		port: frontend.port,
		proto: PROTOCOLS[frontend.protocol],
		scope: frontend.scope === 'external' ? FrontendScope.EXTERNAL : FrontendScope.INTERNAL,
	};
}

/** @param backends sorted */
export function tableName(serviceId: number, size: number, backends: readonly string[]): string {
	return `${serviceId} ${size} ${backends.join(' ')}`;
}

export function adoptedName(id: number): string {
	return `in the kernel: ${id}`;
}
