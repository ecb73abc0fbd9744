import type { Allocation } from '../api/strategy.ts';
import type { IpPool } from './ip-pool.ts';
import type { PortRange } from './port-range.ts';

/**
 * The allocations of one Service write. Rollback frees them; commit frees the values that the write
 * no longer uses.
 */
export class Transaction implements Allocation {
	readonly #holder: string;
	readonly #undo: (() => void)[] = [];
	readonly #after: (() => void)[] = [];

	/** @param holder the Service's uid. */
	constructor(holder: string) {
		this.#holder = holder;
	}

	/** Takes `address`, or the next free one. @throws AllocationError. */
	ip(range: IpPool, address?: string): string {
		const got = address ?? range.next(this.#holder);
		if (address !== undefined) range.take(address, this.#holder);
		this.#undo.push(() => range.release(got, this.#holder));
		return got;
	}

	/** Takes `port`, or the next free one. @throws AllocationError. */
	port(range: PortRange, port?: number): number {
		const got = port ?? range.next(this.#holder);
		if (port !== undefined) range.take(port, this.#holder);
		this.#undo.push(() => range.release(got, this.#holder));
		return got;
	}

	onCommit(release: () => void): void {
		this.#after.push(release);
	}

	commit(): void {
		for (const release of this.#after) release();
	}

	rollback(): void {
		for (const release of this.#undo.toReversed()) release();
	}
}
