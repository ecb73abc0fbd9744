import { BpfError } from './error.ts';

/** One acknowledged write to a fake map. */
export interface FakeWrite {
	readonly operation: 'update' | 'delete' | 'grow';
	readonly map: string;
	readonly key?: Uint8Array;
	readonly value?: Uint8Array;
}

/**
 * State that fake maps share: the order of all writes, and failures that a test injects. Every
 * entry of a batch counts as one write, so that a failure can hit any entry of a batch.
 */
export class FakeKernel {
	/** Every acknowledged write in order. The test that reads it empties it. */
	readonly journal: FakeWrite[] = [];
	#countdown = 0;
	#code = '';
	#refuses: (map: string, key: Uint8Array | undefined) => boolean = () => false;
	#refusal = '';

	/** Makes the n-th write from now (1 is the next) fail once with this code. */
	failAt(n: number, code = 'ENOMEM'): void {
		this.#countdown = n;
		this.#code = code;
	}

	/** Makes every write fail for which `refuses` returns true, until the next call. */
	fail(refuses: (map: string, key: Uint8Array | undefined) => boolean, code = 'ENOMEM'): void {
		this.#refuses = refuses;
		this.#refusal = code;
	}

	/** Returns and clears the writes acknowledged since the last call. */
	take(): FakeWrite[] {
		return this.journal.splice(0);
	}

	/** Throws the failure that is due at this write. */
	check(operation: string, map: string, key?: Uint8Array): void {
		if (this.#refuses(map, key))
			throw new BpfError({ operation, object: `map ${map}`, errno: this.#refusal });
		if (this.#countdown === 0) return;
		this.#countdown -= 1;
		if (this.#countdown === 0) throw new BpfError({ operation, object: `map ${map}`, errno: this.#code });
	}

	/** Checks for a due failure and records the write. For writes that cannot fail otherwise. */
	write(write: FakeWrite): void {
		this.check(write.operation, write.map, write.key);
		this.journal.push(write);
	}
}
