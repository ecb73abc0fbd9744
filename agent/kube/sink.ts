import type { RawObject } from './resources.ts';

/** Takes what is known of one resource. Calls are cheap: they store and mark, nothing more. */
export interface Sink {
	/** @param key `namespace/name`, or the name of a node */
	upsert(key: string, object: RawObject): void;
	remove(key: string): void;
	/** A complete list has been passed on: what was not in it has been removed. */
	listed(): void;
}

export interface ReflectorLog {
	debug(fields: object, event: string): void;
	info(fields: object, event: string): void;
	warn(fields: object, event: string): void;
}

/** What is known of the connection to the API server; for status, metrics and logs. */
export interface ReflectorState {
	listed: boolean;
	/** When the server last sent something for this resource, by the clock; undefined: never. */
	lastContact?: number;
	/** Why the last connection ended; absent while one is open. */
	error?: string;
	lists: number;
	watches: number;
	events: number;
	/** Objects without a name and other things that are no object. */
	malformed: number;
}
