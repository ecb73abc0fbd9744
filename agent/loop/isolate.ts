/** Writes the changes of many Services, and isolates those that make the write fail. */

/** State of a Service in the maps before and after a change; undefined: none. */
export interface Change<T> {
	readonly before: T | undefined;
	readonly after: T | undefined;
}

export interface Isolation<T, R> {
	/** Sets the desired state of a Service for the next write. */
	update(key: string, value: T | undefined): void;
	/**
	 * Writes the desired state to the maps.
	 * @param last whether all changes that can be written are desired now
	 * @throws Error when it cannot; the next call repairs a partial write
	 */
	write(last: boolean): R;
	/** Called when a Service keeps its previous state. */
	refused(key: string, error: unknown): void;
}

type Changes<T> = readonly (readonly [key: string, change: Change<T>])[];

/**
 * Reverts changes, then writes them by halves: of n Services, k bad ones cost about k log n writes.
 * @param changes desired already; their write failed with `error`
 * @returns the result of the last write, with all changes that could be written
 * @throws `error` when the previous state cannot be written either: no Service is at fault, and all
 * changes are desired again
 */
export function isolate<T, R>(changes: Changes<T>, error: unknown, to: Isolation<T, R>): R {
	for (const [key, { before }] of changes) to.update(key, before);
	try {
		to.write(false);
	} catch {
		for (const [key, { after }] of changes) to.update(key, after);
		throw error;
	}
	// retries all of them together once: the failure may have been transient
	writePart(changes, to);
	return to.write(true);
}

function writeHalves<T, R>(changes: Changes<T>, error: unknown, to: Isolation<T, R>): void {
	const [first] = changes;
	if (changes.length === 1) {
		to.refused(first![0], error);
		return;
	}
	const half = changes.length >> 1;
	for (const part of [changes.slice(0, half), changes.slice(half)]) writePart(part, to);
}

function writePart<T, R>(changes: Changes<T>, to: Isolation<T, R>): void {
	for (const [key, { after }] of changes) to.update(key, after);
	try {
		to.write(false);
	} catch (error) {
		for (const [key, { before }] of changes) to.update(key, before);
		writeHalves(changes, error, to);
	}
}
