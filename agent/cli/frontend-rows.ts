import {
	BackendFlag,
	backendCodec,
	type Frontend,
	FrontendFlag,
	FrontendScope,
	frontendCodec,
	frontendKeyCodec,
	TABLE_CHUNK_SLOTS,
	tableChunkCodec,
} from '../abi/layout.ts';
import { protocolName } from '../abi/protocol.ts';
import { u32Bytes } from '../abi/u32.ts';
import type { BpfMap, ServiceMaps, TableSegments } from '../bpf/port.ts';
import { endpointText, ipOfBytes } from '../model/ip.ts';

export interface BackendShare {
	/** `10.244.1.2:8080` */
	readonly address: string;
	/** Part of the table's slots, 0 to 1. */
	readonly share: number;
	/** Whether it is an endpoint of this node. */
	readonly local: boolean;
}

export interface FrontendRow {
	/** `10.96.0.1:80` */
	readonly address: string;
	readonly protocol: string;
	/** Clients of the frontend: sockets and pods of this node, packets from outside, or both. */
	readonly scopes: readonly ('internal' | 'external')[];
	readonly kind: string;
	readonly serviceId: number;
	/** Handling of connections while there are no backends. */
	readonly empty: 'reject' | 'drop';
	readonly tableSize: number;
	/** Sorted by address. */
	readonly backends: readonly BackendShare[];
}

const KINDS: readonly (readonly [number, string])[] = [
	[FrontendFlag.LOOPBACK, 'loopback'],
	[FrontendFlag.NODEPORT, 'nodeport'],
	[FrontendFlag.CLUSTERIP, 'clusterip'],
	[FrontendFlag.LOADBALANCER, 'loadbalancer'],
	[FrontendFlag.EXTERNALIP, 'externalip'],
];

/**
 * Frontends in the pinned maps, sorted by service and address. Packet lookups use the same maps.
 */
export function frontendRows(maps: ServiceMaps): FrontendRow[] {
	const shares = new Map<string, readonly BackendShare[]>();
	const rows = new Map<string, FrontendRow>();
	for (const [rawKey, rawValue] of maps.frontends.entries()) {
		const key = frontendKeyCodec.decode(rawKey);
		const value = frontendCodec.decode(rawValue);
		// no longer belongs to a Service: existing connections end here, and no new one begins
		if ((value.flags & FrontendFlag.ENDED) !== 0) continue;
		const table = `${value.table}/${value.tableSize}`;
		const backends = shares.get(table) ?? readTable(maps, value);
		shares.set(table, backends);
		const scope = key.scope === FrontendScope.INTERNAL ? 'internal' : 'external';
		const row: FrontendRow = {
			address: endpointText(ipOfBytes(key.addr), key.port),
			protocol: protocolName(key.proto),
			scopes: [scope],
			kind: KINDS.find(([flag]) => (value.flags & flag) !== 0)?.[1] ?? 'unknown',
			serviceId: value.serviceId,
			empty: (value.flags & FrontendFlag.DROP) !== 0 ? 'drop' : 'reject',
			tableSize: value.tableSize,
			backends,
		};
		const alike = `${row.address} ${row.protocol} ${value.flags} ${table} ${value.serviceId}`;
		const other = rows.get(alike);
		rows.set(alike, other ? { ...row, scopes: ['internal', 'external'] } : row);
	}
	return [...rows.values()].sort(
		(a, b) => a.serviceId - b.serviceId || order(a.address, b.address) || order(a.scopes[0]!, b.scopes[0]!),
	);
}

function order(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}

function readTable(maps: ServiceMaps, frontend: Frontend): BackendShare[] {
	const slots = new Map<number, number>();
	for (const id of tableSlots(maps.tables, frontend)) slots.set(id, (slots.get(id) ?? 0) + 1);
	return [...slots]
		.map(([id, count]) => ({ ...readBackend(maps.backends, id), share: count / frontend.tableSize }))
		.sort((a, b) => order(a.address, b.address));
}

function* tableSlots(tables: TableSegments, { table, tableSize }: Frontend): Generator<number> {
	if (tableSize === 0) return;
	const segment = tables.segment(table >>> 16);
	const first = table & 0xffff;
	for (let slot = 0; slot < tableSize; slot += TABLE_CHUNK_SLOTS) {
		const raw = segment.lookup(u32Bytes(first + slot / TABLE_CHUNK_SLOTS));
		if (raw === undefined) return;
		yield* tableChunkCodec.decode(raw).backend.slice(0, tableSize - slot);
	}
}

function readBackend(backends: BpfMap, id: number): { address: string; local: boolean } {
	const raw = backends.lookup(u32Bytes(id));
	const backend = raw && backendCodec.decode(raw);
	if (!backend || (backend.flags & BackendFlag.VALID) === 0)
		return { address: `<gone: ${id}>`, local: false };
	return {
		address: endpointText(ipOfBytes(backend.addr), backend.port),
		local: (backend.flags & BackendFlag.LOCAL) !== 0,
	};
}
