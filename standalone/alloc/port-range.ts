import { AllocationError, BandAllocator } from './band.ts';

const BAND = { min: 16, max: 128, step: 32 };

/** The number of ports reserved for explicit requests in a range of `size` ports (KEP-3668). */
export function staticPortBand(size: number): number {
	if (size < BAND.min) return 0;
	return Math.max(BAND.min, Math.min(Math.floor(size / BAND.step), BAND.max));
}

/** NodePorts and health check node ports, which share one range. */
export class PortRange {
	readonly from: number;
	readonly to: number;
	readonly #band: BandAllocator;

	/** @param range like `30000-32767`, both ends included. */
	constructor(range: string, random: () => number = Math.random) {
		const match = /^(\d+)-(\d+)$/.exec(range);
		const [from, to] = [Number(match?.[1]), Number(match?.[2])];
		if (!match || from < 1 || to > 65_535 || from > to)
			throw new RangeError(`Parsing NodePort range ${range}: expected <first port>-<last port>`);
		this.from = from;
		this.to = to;
		this.#band = new BandAllocator(to - from + 1, staticPortBand(to - from + 1), random);
	}

	get free(): number {
		return this.#band.free;
	}

	has(port: number): boolean {
		return this.#inside(port) && this.#band.has(port - this.from);
	}

	/** @returns the holder; undefined if the port is free or outside the range. */
	holder(port: number): string | undefined {
		return this.#inside(port) ? this.#band.holder(port - this.from) : undefined;
	}

	/** @throws AllocationError if the port is allocated or outside the range. */
	take(port: number, holder = ''): void {
		if (!this.#inside(port))
			throw new AllocationError(
				'out-of-range',
				`provided port is not in the valid range. The range of valid ports is ${this.from}-${this.to}`,
			);
		if (!this.#band.take(port - this.from, holder))
			throw new AllocationError('allocated', 'provided port is already allocated');
	}

	/** @throws AllocationError if the range is full. */
	next(holder = ''): number {
		const offset = this.#band.next(holder);
		if (offset === undefined) throw new AllocationError('full', 'range is full');
		return this.from + offset;
	}

	/** Frees the port if `holder` holds it. */
	release(port: number, holder = ''): void {
		if (this.#inside(port)) this.#band.release(port - this.from, holder);
	}

	#inside(port: number): boolean {
		return port >= this.from && port <= this.to;
	}
}
