import type { Incoming, KubeObject } from '../port.ts';
import type { FieldError } from './field-error.ts';
import type { NameRule } from './names.ts';

/** Addresses and ports allocated for a write. Commit keeps them; rollback frees them. */
export interface Allocation {
	commit(): void;
	rollback(): void;
}

/** An address or port of a stored object that another object holds or that is out of range. */
export interface Conflict {
	/** One word, for an Event. */
	reason: string;
	message: string;
}

/**
 * The steps of a write that differ between kinds. Every function works on a private copy of the
 * object. `T` is the type of a stored object of the kind.
 */
export interface Strategy<T extends KubeObject = KubeObject> {
	name: NameRule;
	/** Sets defaults, on create and on update. */
	defaults?(object: Incoming<T>): void;
	/** Runs before validation of a create. Sets the fields that the server owns. */
	prepareCreate?(object: Incoming<T>): void;
	/**
	 * Runs before validation of an update. Keeps server-owned fields and removes fields that the
	 * change invalidates.
	 */
	prepareUpdate?(object: Incoming<T>, old: T): void;
	validate?(object: Incoming<T>): FieldError[];
	validateUpdate?(object: Incoming<T>, old: T): FieldError[];
	/**
	 * Runs after validation. Allocates values and writes them into the object.
	 * @throws ApiError with nothing allocated.
	 */
	allocate?(object: T, old: T | undefined): Allocation;
	/**
	 * Claims the values of an object that was stored without an allocation.
	 * @returns the conflicts.
	 */
	adopt?(object: T): Conflict[];
	/** Called for an object that is marked for deletion and waits for its finalizers. */
	deleting?(object: T): void;
	/** Called before the object is removed from the store. */
	release?(object: T): void;
}
