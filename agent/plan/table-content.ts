import { type Backend, TABLE_CHUNK_SLOTS } from '../abi/layout.ts';
import { maglevTable } from '../maglev/table.ts';
import { backendName, chunksOf, isValid, tableChunks } from './kernel.ts';

/** Inputs from which a table was made. */
export interface TableParts {
	/** The Service port's id. */
	readonly serviceId: number;
	/** Sorted keys. */
	readonly backends: readonly string[];
}

/**
 * Chunks of a table: ids of its slots, then of its backends, each padded with zeros to a chunk.
 * @param keys sorted backends
 */
export function tableContent(
	keys: readonly string[],
	size: number,
	idOf: (key: string) => number,
): Uint8Array {
	const ids = Uint32Array.from(keys, idOf);
	const table = maglevTable(keys, size);
	// as struct table_chunk: this process and the kernel share the little-endian byte order
	const words = new Uint32Array(tableChunks(size, keys.length) * TABLE_CHUNK_SLOTS);
	for (let slot = 0; slot < table.length; slot++) words[slot] = ids[table[slot]!]!;
	words.set(ids, chunksOf(size) * TABLE_CHUNK_SLOTS);
	return new Uint8Array(words.buffer);
}

/**
 * Recovers the backends of a table. A Maglev table gives all of them the same share. Damaged ids
 * are therefore ignored: those with less than half of the largest share, those without a backend,
 * and those of another Service port than the first.
 * @returns undefined when no backend is left
 */
export function tableParts(
	content: Uint8Array,
	size: number,
	backends: ReadonlyMap<number, Backend>,
): TableParts | undefined {
	const shares = new Map<number, number>();
	const words = new DataView(content.buffer, content.byteOffset, content.byteLength);
	for (let slot = 0; slot < size; slot++) {
		const id = words.getUint32(slot * 4, true);
		shares.set(id, (shares.get(id) ?? 0) + 1);
	}
	const largest = Math.max(...shares.values());
	const found: Backend[] = [];
	for (const [id, share] of shares) {
		const backend = backends.get(id);
		if (isValid(backend) && share * 2 >= largest) found.push(backend);
	}
	const serviceId = found[0]?.serviceId;
	if (serviceId === undefined) return undefined;
	const keys = found.filter((backend) => backend.serviceId === serviceId).map(backendName);
	return { serviceId, backends: [...new Set(keys)].sort() };
}
