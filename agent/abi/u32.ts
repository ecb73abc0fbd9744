/** A __u32 of the maps and of libbpf: little-endian, as all supported machines are. */

/** Reads the number at an offset in bytes. */
export function u32Of(bytes: Uint8Array, at = 0): number {
	return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** A new array of four bytes. */
export function u32Bytes(value: number): Uint8Array {
	return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}
