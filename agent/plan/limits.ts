import { tableSize } from '../maglev/size.ts';
import type { Frontend } from '../model/translate.ts';

/** Capacities of the maps, and the size of tables. */
export interface Limits {
	/** Entries. */
	readonly frontends: number;
	readonly backends: number;
	readonly sourceRanges: number;
	/** Chunks in a segment, and the number of segments. */
	readonly chunks: number;
	readonly segments: number;
	/** Fixed size of every table; undefined: depends on the number of backends. */
	readonly tableSize?: number | undefined;
}

/** Slots of the table that a frontend needs; 0: none. */
export function sizeFor(frontend: Frontend, limits: Limits): number {
	return tableSize(frontend.backends.length, frontend.shared ? 'shared' : 'own', limits.tableSize);
}
