import type { KubeObject } from '../port.ts';
import type { FieldError } from './field-error.ts';
import type { NameRule } from './names.ts';

/** Addresses and ports taken for a write: kept when it is stored, given back when it is not. */
export interface Allocation {
	commit(): void;
	rollback(): void;
}

/** What a stored object names and another has, or no range contains. */
export interface Conflict {
	/** For an Event, one word. */
	reason: string;
	message: string;
}

/** What differs from kind to kind on the way into the store. Every function works on a private copy of the object. */
export interface Strategy {
	name: NameRule;
	/** Fills in defaults, on create and on update. */
	defaults?(object: KubeObject): void;
	/** Before validation of a create: fields that the server owns. */
	prepareCreate?(object: KubeObject): void;
	/** Before validation of an update: keep what the server owns, wipe what the change makes meaningless. */
	prepareUpdate?(object: KubeObject, old: KubeObject): void;
	validate?(object: KubeObject): FieldError[];
	validateUpdate?(object: KubeObject, old: KubeObject): FieldError[];
	/**
	 * After validation: takes what the object needs and writes it into the object.
	 * @throws ApiError with nothing taken.
	 */
	allocate?(object: KubeObject, old: KubeObject | undefined): Allocation;
	/** The object is stored without an allocation: claims what it holds. @returns what it could not claim. */
	adopt?(object: KubeObject): Conflict[];
	/** The object was marked for deletion, and stays until its finalizers go. */
	deleting?(object: KubeObject): void;
	/** The object leaves the store. */
	release?(object: KubeObject): void;
}
