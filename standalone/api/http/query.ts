/**
 * Parses a boolean query parameter like Kubernetes: any value except "0" and "false" is true, also
 * an empty one (apimachinery, Convert_Slice_string_To_bool). Python's client sends "True".
 */
export function flagOf(query: URLSearchParams, name: string): boolean {
	const value = query.get(name);
	return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}
