import type { Allocation } from '../api/strategy.ts';
import type { IpPool } from './ip-pool.ts';
import type { PortRange } from './port-range.ts';

/** What one write of a Service takes at once and gives back when it fails, and what it gives back when it succeeds. */
export class Transaction implements Allocation {
	readonly #holder: string;
	readonly #undo: (() => void)[] = [];
	readonly #after: (() => void)[] = [];

	/** `holder` is the Service's uid. */
	constructor(holder: string) {
		this.#holder = holder;
	}

	/** An explicit address, or the next free one. @throws AllocationError. */
	ip(range: IpPool, address?: string): string {
		const got = address ?? range.next(this.#holder);
		if (address !== undefined) range.take(address, this.#holder);
		this.#undo.push(() => range.release(got, this.#holder));
		return got;
	}

	/** An explicit port, or the next free one. @throws AllocationError. */
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
