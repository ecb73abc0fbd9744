import type { Allocation } from '../api/strategy.ts';
import type { IpRange } from './ip-range.ts';
import type { PortRange } from './port-range.ts';

/** What one write of a Service takes at once and gives back when it fails, and what it gives back when it succeeds. */
export class Transaction implements Allocation {
	readonly #undo: (() => void)[] = [];
	readonly #after: (() => void)[] = [];

	/** An explicit address, or the next free one. @throws AllocationError. */
	ip(range: IpRange, address?: string): string {
		const got = address ?? range.next();
		if (address !== undefined) range.take(address);
		this.#undo.push(() => range.release(got));
		return got;
	}

	/** An explicit port, or the next free one. @throws AllocationError. */
	port(range: PortRange, port?: number): number {
		const got = port ?? range.next();
		if (port !== undefined) range.take(port);
		this.#undo.push(() => range.release(got));
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
