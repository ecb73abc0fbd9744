/** The reason for which an allocator refuses a request. */
export class AllocationError extends Error {
	readonly why: 'full' | 'allocated' | 'out-of-range';

	constructor(why: 'full' | 'allocated' | 'out-of-range', message: string) {
		super(message);
		this.name = 'AllocationError';
		this.why = why;
	}
}

/**
 * A set of the integers 0..size-1. Dynamic allocation uses the lowest `reserved` integers only
 * after all others are taken (KEP-3070: explicit requests then rarely collide with dynamic ones).
 */
export class BandAllocator {
	readonly size: number;
	readonly reserved: number;
	/** The holder of each taken integer. Only the holder can release it. */
	readonly #holders = new Map<number, string>();
	readonly #random: () => number;

	constructor(size: number, reserved: number, random: () => number) {
		this.size = size;
		this.reserved = Math.min(reserved, size);
		this.#random = random;
	}

	get free(): number {
		return this.size - this.#holders.size;
	}

	has(offset: number): boolean {
		return this.#holders.has(offset);
	}

	/** @returns the holder; undefined if the integer is free. */
	holder(offset: number): string | undefined {
		return this.#holders.get(offset);
	}

	/** @returns false if the integer is already taken. */
	take(offset: number, holder: string): boolean {
		if (this.#holders.has(offset)) return false;
		this.#holders.set(offset, holder);
		return true;
	}

	/**
	 * Takes a free integer above the reserved band, from a random start. Falls back to the band if
	 * the rest is full.
	 */
	next(holder: string): number | undefined {
		if (this.free === 0) return undefined;
		return this.#scan(this.reserved, this.size, holder) ?? this.#scan(0, this.reserved, holder);
	}

	release(offset: number, holder: string): void {
		if (this.#holders.get(offset) === holder) this.#holders.delete(offset);
	}

	#scan(from: number, to: number, holder: string): number | undefined {
		const count = to - from;
		const start = Math.floor(this.#random() * count);
		for (let step = 0; step < count; step++) {
			const offset = from + ((start + step) % count);
			if (this.take(offset, holder)) return offset;
		}
		return undefined;
	}
}
