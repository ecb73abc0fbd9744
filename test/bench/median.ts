/** The middle of the values, of an even number the lower of the two. NaN of none. */
export function median(values: readonly number[]): number {
	return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;
}
