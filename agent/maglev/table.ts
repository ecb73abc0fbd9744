import { murmur3 } from './murmur3.ts';

/** Order in which a backend claims slots: its slot j is (offset + j * skip) mod M. */
export interface Permutation {
	/** 0..M-1 */
	readonly offset: number;
	/** 1..M-1 */
	readonly skip: number;
}

/** Seeds that make tables equal on all nodes. A change moves every connection of a cluster. */
const OFFSET_SEED = 0x6d61676c;
const SKIP_SEED = 0x616e6521;

const FREE = 0xffff_ffff;
const encoder = new TextEncoder();

/** The permutation of a backend. Its name must be unique among the backends of a table. */
export function permutation(name: string, size: number): Permutation {
	const bytes = encoder.encode(name);
	return { offset: murmur3(bytes, OFFSET_SEED) % size, skip: (murmur3(bytes, SKIP_SEED) % (size - 1)) + 1 };
}

/**
 * Fills a Maglev table (Eisenbud et al., NSDI 2016, section 3.4). The permutations take turns in
 * the given order, and each claims its next free slot.
 * @returns `size` indexes into `permutations`; an empty array when there are none.
 * @throws RangeError when the size is not a prime, or there are more permutations than slots.
 */
export function fillTable(permutations: readonly Permutation[], size: number): Uint32Array {
	if (permutations.length === 0) return new Uint32Array(0);
	if (!isPrime(size)) throw new RangeError(`Cannot fill a Maglev table of ${size} slots: not a prime`);
	if (permutations.length > size) {
		throw new RangeError(`Cannot fill a Maglev table of ${size} slots for ${permutations.length} backends`);
	}
	const table = new Uint32Array(size).fill(FREE);
	const next = Uint32Array.from(permutations, (p) => p.offset);
	for (let filled = 0; filled < size; ) {
		for (let i = 0; i < permutations.length && filled < size; i++, filled++) {
			const skip = permutations[i]!.skip;
			let slot = next[i]!;
			while (table[slot] !== FREE) slot = slot + skip < size ? slot + skip : slot + skip - size;
			table[slot] = i;
			next[i] = slot + skip < size ? slot + skip : slot + skip - size;
		}
	}
	return table;
}

/**
 * The Maglev table of a set of backends. It does not depend on the order of `names`, so nodes that
 * see the same endpoints compute the same table.
 * @returns `size` indexes into `names`.
 * @throws RangeError as {@link fillTable}, and for a duplicate name.
 */
export function maglevTable(names: readonly string[], size: number): Uint32Array {
	const order = names.map((_, i) => i).sort((a, b) => (names[a]! < names[b]! ? -1 : 1));
	for (let i = 1; i < order.length; i++) {
		const name = names[order[i]!]!;
		if (name === names[order[i - 1]!])
			throw new RangeError(`Cannot fill a Maglev table: ${name} is given twice`);
	}
	const table = fillTable(
		order.map((i) => permutation(names[i]!, size)),
		size,
	);
	for (let slot = 0; slot < table.length; slot++) table[slot] = order[table[slot]!]!;
	return table;
}

export function isPrime(n: number): boolean {
	if (!Number.isInteger(n) || n < 2) return false;
	for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
	return true;
}
