/** Time before a freed id or table region is reused, ms: packets in flight may still use it. */
export const REST_MS = 1000;

/** Ids 1..limit-1, one for each key. A key keeps its id while it is held, and for a rest after. */
export class IdPool {
	readonly #limit: number;
	readonly #ids = new Map<string, number>();
	/** Ids in use or resting. */
	readonly #taken = new Set<number>();
	/** Released keys. The kernel has not acknowledged their release yet. */
	readonly #released = new Set<string>();
	/** Released keys with the time of the acknowledgement, oldest first. */
	readonly #resting = new Map<string, number>();
	#next = 1;

	constructor(limit: number) {
		this.#limit = limit;
	}

	/** Adopts an id from the kernel. Another key gets the id only after a rest. */
	seed(key: string, id: number): void {
		if (id < 1 || id >= this.#limit || this.#taken.has(id) || this.#ids.has(key)) return;
		this.#ids.set(key, id);
		this.#taken.add(id);
		this.#released.add(key);
	}

	/** Moves the id of a key to another key that has none, so that a renamed entry keeps its id. */
	rename(from: string, to: string): void {
		const id = this.#ids.get(from);
		if (id === undefined || this.#ids.has(to)) return;
		this.#ids.delete(from);
		this.#ids.set(to, id);
		if (this.#released.delete(from)) this.#released.add(to);
		this.#resting.delete(from);
	}

	has(key: string): boolean {
		return this.#ids.has(key);
	}

	/**
	 * The id of a key. A released key gets its old id back while that rests.
	 * @returns undefined when full
	 */
	acquire(key: string, now: number): number | undefined {
		this.#released.delete(key);
		const known = this.#ids.get(key);
		if (known !== undefined) {
			this.#resting.delete(key);
			return known;
		}
		this.#wake(now);
		const id = this.#free();
		if (id === undefined) return undefined;
		this.#ids.set(key, id);
		this.#taken.add(id);
		return id;
	}

	/** The key is no longer held. Its id rests from the next settle(). */
	release(key: string): void {
		if (this.#ids.has(key)) this.#released.add(key);
	}

	/** The kernel has acknowledged all releases. */
	settle(now: number): void {
		for (const key of this.#released) this.#resting.set(key, now);
		this.#released.clear();
	}

	#wake(now: number): void {
		for (const [key, since] of this.#resting) {
			if (now - since < REST_MS) return;
			const id = this.#ids.get(key)!;
			this.#resting.delete(key);
			this.#ids.delete(key);
			this.#taken.delete(id);
			this.#next = Math.min(this.#next, id);
		}
	}

	/** The lowest free id, which keeps a dump short. */
	#free(): number | undefined {
		while (this.#next < this.#limit && this.#taken.has(this.#next)) this.#next++;
		return this.#next < this.#limit ? this.#next : undefined;
	}
}
