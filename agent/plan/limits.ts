import { tableSize } from '../maglev/size.ts';
import type { Frontend } from '../model/translate.ts';

/** Sizes of the maps, and how large tables are. */
export interface Limits {
	/** Entries. */
	readonly frontends: number;
	readonly backends: number;
	readonly sourceRanges: number;
	/** Chunks in a segment, and segments. */
	readonly chunks: number;
	readonly segments: number;
	/** Fixed size of every table; undefined: by its number of backends. */
	readonly tableSize?: number | undefined;
}

/** Slots of the table that a frontend needs; 0: none. */
export function sizeFor(frontend: Frontend, limits: Limits): number {
	return tableSize(frontend.backends.length, frontend.shared ? 'shared' : 'own', limits.tableSize);
}
