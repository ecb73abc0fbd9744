import { BpfError } from './error.ts';

/**
 * Rejects buffers of a wrong length: the kernel copies as many bytes as the map's sizes say,
 * whatever the length.
 * @throws BpfError EINVAL
 */
export function expectBytes(
	operation: string,
	map: string,
	what: string,
	got: number,
	expected: number,
): void {
	if (got === expected) return;
	const detail = `expected ${expected} bytes of ${what}, got ${got}`;
	throw new BpfError({ operation, object: `map ${map}`, errno: 'EINVAL', detail });
}

/** Number of keys in a concatenation. @throws BpfError EINVAL when the last key is incomplete. */
export function countKeys(operation: string, map: string, keys: Uint8Array, keySize: number): number {
	const count = Math.floor(keys.length / keySize);
	expectBytes(operation, map, 'keys', keys.length, count * keySize);
	return count;
}

/** Bytes of a value in user space: per-CPU values of all possible CPUs, each rounded up to 8. */
export function perCpuSize(valueSize: number, cpus: number): number {
	return Math.ceil(valueSize / 8) * 8 * cpus;
}

/** Part i of a concatenation, without a copy. */
export function part(all: Uint8Array, i: number, size: number): Uint8Array {
	return all.subarray(i * size, (i + 1) * size);
}
