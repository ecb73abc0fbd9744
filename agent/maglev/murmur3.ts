/**
 * MurmurHash3_x86_32 (Austin Appleby, public domain): fast, good for short keys, not for secrets.
 * @returns an unsigned 32-bit integer.
 */
export function murmur3(key: Uint8Array, seed: number): number {
	const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
	const body = key.length & ~3;
	let h = seed;
	for (let i = 0; i < body; i += 4) {
		h ^= scramble(view.getUint32(i, true));
		h = (Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64) | 0;
	}
	let tail = 0;
	for (let i = key.length - 1; i >= body; i--) tail = (tail << 8) | key[i]!;
	if (body !== key.length) h ^= scramble(tail);
	h ^= key.length;
	h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
	h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
	return (h ^ (h >>> 16)) >>> 0;
}

function scramble(word: number): number {
	const k = Math.imul(word, 0xcc9e2d51);
	return Math.imul((k << 15) | (k >>> 17), 0x1b873593);
}
