import { type Backend, TABLE_CHUNK_SLOTS } from '../abi/layout.ts';
import { maglevTable } from '../maglev/table.ts';
import { backendName, chunksOf, isValid, tableChunks } from './kernel.ts';

/** The chunks of a table: the ids of its slots, then of its backends; the rest of each part's last chunk is zero. @param keys sorted backends */
export function tableContent(
	keys: readonly string[],
	size: number,
	idOf: (key: string) => number,
): Uint8Array {
	const ids = Uint32Array.from(keys, idOf);
	const table = maglevTable(keys, size);
	// as struct table_chunk: this process and the kernel have the same, little-endian, byte order
	const words = new Uint32Array(tableChunks(size, keys.length) * TABLE_CHUNK_SLOTS);
	for (let slot = 0; slot < table.length; slot++) words[slot] = ids[table[slot]!]!;
	words.set(ids, chunksOf(size) * TABLE_CHUNK_SLOTS);
	return new Uint8Array(words.buffer);
}

/**
 * The backends that a table was made of. A Maglev table gives all the same share, so an id with less than half of
 * the largest share, or one that names no backend, is damage and not part of it.
 * @returns sorted keys; undefined when nothing can be made of it
 */
export function contentNames(
	content: Uint8Array,
	size: number,
	backends: ReadonlyMap<number, Backend>,
): string[] | undefined {
	const shares = new Map<number, number>();
	const words = new DataView(content.buffer, content.byteOffset, content.byteLength);
	for (let slot = 0; slot < size; slot++) {
		const id = words.getUint32(slot * 4, true);
		shares.set(id, (shares.get(id) ?? 0) + 1);
	}
	const largest = Math.max(...shares.values());
	const keys: string[] = [];
	for (const [id, share] of shares) {
		const backend = backends.get(id);
		if (isValid(backend) && share * 2 >= largest) keys.push(backendName(backend));
	}
	return keys.length === 0 ? undefined : [...new Set(keys)].sort();
}
