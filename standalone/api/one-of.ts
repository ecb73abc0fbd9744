/** Whether the list has the value, which may have any type. */
export const isOneOf = (list: readonly string[], value: unknown): boolean =>
	list.some((entry) => entry === value);
