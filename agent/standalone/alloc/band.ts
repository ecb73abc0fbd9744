/** Why an allocator refused. */
export class AllocationError extends Error {
	readonly why: 'full' | 'allocated' | 'out-of-range';

	constructor(why: 'full' | 'allocated' | 'out-of-range', message: string) {
		super(message);
		this.name = 'AllocationError';
		this.why = why;
	}
}

/**
 * A set of small integers 0..size-1 whose bottom `reserved` ones are left to explicit requests for as
 * long as the rest lasts (KEP-3070: explicit choices rarely meet dynamic ones).
 */
export class BandAllocator {
	readonly size: number;
	readonly reserved: number;
	readonly #used: Uint8Array;
	readonly #random: () => number;
	#free: number;

	constructor(size: number, reserved: number, random: () => number) {
		this.size = size;
		this.reserved = Math.min(reserved, size);
		this.#used = new Uint8Array(size);
		this.#random = random;
		this.#free = size;
	}

	get free(): number {
		return this.#free;
	}

	has(offset: number): boolean {
		return this.#used[offset] === 1;
	}

	/** @returns false when it is taken. */
	take(offset: number): boolean {
		if (this.#used[offset]) return false;
		this.#used[offset] = 1;
		this.#free--;
		return true;
	}

	/** Takes one above the reserved band, from a random start; inside the band when the rest is full. */
	next(): number | undefined {
		if (this.#free === 0) return undefined;
		return this.#scan(this.reserved, this.size) ?? this.#scan(0, this.reserved);
	}

	release(offset: number): void {
		if (!this.#used[offset]) return;
		this.#used[offset] = 0;
		this.#free++;
	}

	#scan(from: number, to: number): number | undefined {
		const count = to - from;
		const start = Math.floor(this.#random() * count);
		for (let step = 0; step < count; step++) {
			const offset = from + ((start + step) % count);
			if (this.take(offset)) return offset;
		}
		return undefined;
	}
}
