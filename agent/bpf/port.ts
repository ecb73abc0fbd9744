/**
 * Interface of BPF maps for the rest of the agent. It has two implementations, the kernel's
 * (kernel-map.ts) and an in-memory one (fake.ts); one contract suite tests both.
 *
 * Keys and values are raw bytes of exactly `keySize` and `valueSize`; agent/abi has the codecs.
 */
export type UpdateMode = 'any' | 'noexist' | 'exist';

export interface BpfMap {
	readonly name: string;
	/** Bytes of a key. */
	readonly keySize: number;
	/** Bytes of a value in user space: for per-CPU maps all possible CPUs, each rounded up to 8. */
	readonly valueSize: number;
	readonly maxEntries: number;
	/** A copy of the value, or undefined when the key is absent. */
	lookup(key: Uint8Array): Uint8Array | undefined;
	/** @throws BpfError with code E2BIG (full), EEXIST (noexist), ENOENT (exist). */
	update(key: Uint8Array, value: Uint8Array, mode?: UpdateMode): void;
	/** @returns whether the key existed. Arrays throw EINVAL. */
	delete(key: Uint8Array): boolean;
	/**
	 * Writes many entries: `keys` and `values` are concatenations. Falls back to single writes if the
	 * kernel has no batch for this type. @throws BpfError whose `count` is the number of written
	 * entries.
	 */
	updateBatch(keys: Uint8Array, values: Uint8Array): void;
	/** Deletes many entries and skips absent keys. @returns the number of deleted entries. */
	deleteBatch(keys: Uint8Array): number;
	/** Dumps the map: every entry that exists throughout the dump occurs once. */
	entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
}

/** The Maglev table memory: equal segments of `table_chunk`s, added on demand, never removed. */
export interface TableSegments {
	/** Chunks per segment (TABLE_SEGMENT_CHUNKS). */
	readonly chunks: number;
	/** Maximum number of segments (TABLE_SEGMENTS). */
	readonly limit: number;
	readonly count: number;
	/** Segment i as an array map of u32 chunk index -> table_chunk. */
	segment(i: number): BpfMap;
	/** Creates, pins and links one more segment. @throws BpfError E2BIG at the limit. */
	grow(): BpfMap;
}

/** The maps that the control loop fills. */
export interface ServiceMaps {
	readonly frontends: BpfMap;
	readonly frontendBits: BpfMap;
	readonly frontendEpoch: BpfMap;
	readonly backends: BpfMap;
	readonly settings: BpfMap;
	readonly tables: TableSegments;
	/** Longest prefix match: id of a Service port and a source -> 1. */
	readonly sourceRanges: BpfMap;
	readonly addresses: BpfMap;
	readonly addressBits: BpfMap;
	readonly serviceCidrs: BpfMap;
}

/** The maps of an object or a pin directory by their names in bpf/maps.h. */
export function serviceMaps(map: (name: string) => BpfMap, tables: TableSegments): ServiceMaps {
	return {
		frontends: map('frontends'),
		frontendBits: map('frontend_bits'),
		frontendEpoch: map('frontend_epoch'),
		backends: map('backends'),
		settings: map('node_settings'),
		tables,
		sourceRanges: map('source_ranges'),
		addresses: map('service_addresses'),
		addressBits: map('address_bits'),
		serviceCidrs: map('service_cidrs'),
	};
}
