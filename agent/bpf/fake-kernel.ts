import { BpfError } from './error.ts';

/** One write to a fake map, as it was acknowledged. */
export interface FakeWrite {
	readonly operation: 'update' | 'delete' | 'grow';
	readonly map: string;
	readonly key?: Uint8Array;
	readonly value?: Uint8Array;
}

/**
 * What fake maps share: the order of all writes, and failures that a test asks for. Every entry of a batch
 * counts as one write, so that a failure may fall at any place of a batch.
 */
export class FakeKernel {
	/** Every acknowledged write in order. Emptied by the test that reads it. */
	readonly journal: FakeWrite[] = [];
	#countdown = 0;
	#code = '';

	/** Lets the n-th write from here (1 is the next) fail with this code; once. */
	failAt(n: number, code = 'ENOMEM'): void {
		this.#countdown = n;
		this.#code = code;
	}

	/** Writes that were acknowledged since the last call. */
	take(): FakeWrite[] {
		return this.journal.splice(0);
	}

	/** Throws the failure that is due at this write. */
	check(operation: string, map: string): void {
		if (this.#countdown === 0) return;
		this.#countdown -= 1;
		if (this.#countdown === 0) throw new BpfError({ operation, object: `map ${map}`, errno: this.#code });
	}

	/** Checks and records. For writes that cannot fail otherwise. */
	write(write: FakeWrite): void {
		this.check(write.operation, write.map);
		this.journal.push(write);
	}
}
