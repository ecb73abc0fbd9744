/**
 * A boolean of a request's query, as Kubernetes reads it: any value but "0" and "false" sets it, an empty one too
 * (apimachinery, Convert_Slice_string_To_bool). Python's client sends "True".
 */
export function flagOf(query: URLSearchParams, name: string): boolean {
	const value = query.get(name);
	return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}
