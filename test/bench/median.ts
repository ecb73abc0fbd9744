/** The median, of an even number of values the lower one. NaN without values. */
export function median(values: readonly number[]): number {
	return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;
}
