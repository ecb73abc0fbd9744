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
	/** Who holds each taken integer: only the holder's release frees it. */
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

	/** Who took it; undefined when it is free. */
	holder(offset: number): string | undefined {
		return this.#holders.get(offset);
	}

	/** @returns false when it is taken. */
	take(offset: number, holder: string): boolean {
		if (this.#holders.has(offset)) return false;
		this.#holders.set(offset, holder);
		return true;
	}

	/** Takes one above the reserved band, from a random start; inside the band when the rest is full. */
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
