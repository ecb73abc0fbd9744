/**
 * Receives the objects of one resource. Calls are cheap: they only store the object and a mark.
 * Sinks are plain objects: a stage that replaces some calls spreads the others (`{ ...sink }`).
 */
export interface Sink {
	/**
	 * @param key `namespace/name`, or the name of a node
	 * @param object raw JSON, parsed only when needed
	 */
	upsert(key: string, object: unknown): void;
	remove(key: string): void;
	/** The source has delivered a complete list, and has removed all objects that are not in it. */
	listed(): void;
	/** The API server forbids the list, and no list has succeeded before. Called at each attempt. */
	forbidden?(why: string): void;
}

/**
 * Combines sinks: it passes every call to all of them.
 * @returns undefined without any
 */
export function sinkOfAll(sinks: readonly (Sink | undefined)[]): Sink | undefined {
	const all = sinks.filter((sink) => sink !== undefined);
	if (all.length < 2) return all[0];
	return {
		upsert: (key, object) => {
			for (const sink of all) sink.upsert(key, object);
		},
		remove: (key) => {
			for (const sink of all) sink.remove(key);
		},
		listed: () => {
			for (const sink of all) sink.listed();
		},
		forbidden: (why) => {
			for (const sink of all) sink.forbidden?.(why);
		},
	};
}
