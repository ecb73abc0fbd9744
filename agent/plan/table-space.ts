import { REST_MS } from './ids.ts';

/** Location of a table, in chunks from the start of segment 0. It never spans two segments. */
interface Region {
	readonly start: number;
	readonly length: number;
}

/** Memory of Maglev tables: equal segments, first fit; freed regions rest before their reuse. */
export class TableSpace {
	readonly #chunks: number;
	readonly #limit: number;
	#segments = 0;
	/** Free regions by start. Neighbours are merged within a segment. */
	readonly #holes: Region[] = [];
	#released: Region[] = [];
	#resting: { readonly region: Region; readonly since: number }[] = [];

	/** @param chunks in a segment @param limit number of segments */
	constructor(chunks: number, limit: number) {
		this.#chunks = chunks;
		this.#limit = limit;
	}

	/** Segments that the allocated tables need. */
	get segments(): number {
		return this.#segments;
	}

	/** @returns the reference as in struct frontend (segment << 16 | chunk); undefined when full */
	allocate(length: number, now: number): number | undefined {
		this.#wake(now);
		let index = this.#holes.findIndex((hole) => hole.length >= length);
		if (index < 0) {
			if (length > this.#chunks || this.#segments >= this.#limit) return undefined;
			this.#addSegment();
			index = this.#holes.length - 1;
		}
		const hole = this.#holes[index]!;
		this.#carve(index, { start: hole.start, length });
		return this.#ref(hole.start);
	}

	/** Reserves a region that the kernel uses. @returns false unless the region is free */
	reserve(ref: number, length: number): boolean {
		const segment = ref >>> 16;
		const chunk = ref & 0xffff;
		if (segment >= this.#limit || length < 1 || chunk + length > this.#chunks) return false;
		while (this.#segments <= segment) this.#addSegment();
		const start = segment * this.#chunks + chunk;
		const index = this.#holes.findIndex((h) => h.start <= start && start + length <= h.start + h.length);
		if (index < 0) return false;
		this.#carve(index, { start, length });
		return true;
	}

	/** The region is no longer used. It rests from the next settle(). */
	release(ref: number, length: number): void {
		this.#released.push({ start: (ref >>> 16) * this.#chunks + (ref & 0xffff), length });
	}

	/** The kernel has acknowledged all releases. */
	settle(now: number): void {
		for (const region of this.#released) this.#resting.push({ region, since: now });
		this.#released = [];
	}

	/** Chunks in use or resting. */
	used(): number {
		return this.#segments * this.#chunks - this.#holes.reduce((sum, hole) => sum + hole.length, 0);
	}

	#ref(start: number): number {
		return ((Math.floor(start / this.#chunks) << 16) | (start % this.#chunks)) >>> 0;
	}

	#addSegment(): void {
		this.#holes.push({ start: this.#segments * this.#chunks, length: this.#chunks });
		this.#segments += 1;
	}

	#carve(index: number, region: Region): void {
		const hole = this.#holes[index]!;
		const rest: Region[] = [];
		if (region.start > hole.start) rest.push({ start: hole.start, length: region.start - hole.start });
		const end = region.start + region.length;
		const holeEnd = hole.start + hole.length;
		if (end < holeEnd) rest.push({ start: end, length: holeEnd - end });
		this.#holes.splice(index, 1, ...rest);
	}

	#wake(now: number): void {
		if (this.#resting.length === 0 || now - this.#resting[0]!.since < REST_MS) return;
		const awake = this.#resting.filter((item) => now - item.since >= REST_MS);
		this.#resting = this.#resting.filter((item) => now - item.since < REST_MS);
		for (const { region } of awake) this.#insert(region);
	}

	#insert(region: Region): void {
		let index = this.#holes.findIndex((hole) => hole.start > region.start);
		if (index < 0) index = this.#holes.length;
		let { start, length } = region;
		const next = this.#holes[index];
		const previous = this.#holes[index - 1];
		let from = index;
		let remove = 0;
		if (next && start + length === next.start && next.start % this.#chunks !== 0) {
			length += next.length;
			remove += 1;
		}
		if (previous && previous.start + previous.length === start && start % this.#chunks !== 0) {
			start = previous.start;
			length += previous.length;
			from -= 1;
			remove += 1;
		}
		this.#holes.splice(from, remove, { start, length });
	}
}
