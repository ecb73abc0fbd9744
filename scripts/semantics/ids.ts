/**
 * Ids of the catalogue in a test's title: cases `A-26`, rules `R-A3` (of section A) and `B R-3` (of
 * the others).
 */
const ID = /\bR-A\d+\b|\b[B-H] R-\d+\b|\b[A-H]-\d{2,3}[a-z]?\b/g;

/** Each id once, in the order of the title. */
export function idsOf(title: string): string[] {
	return [...new Set(title.match(ID) ?? [])];
}
