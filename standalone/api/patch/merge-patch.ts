type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
	typeof value === 'object' && value !== null && !Array.isArray(value);

/** Applies an RFC 7396 merge patch. Neither argument is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
	if (!isObject(patch)) return patch;
	const result: Json = isObject(target) ? { ...target } : {};
	for (const [field, value] of Object.entries(patch)) {
		if (value === null) delete result[field];
		else result[field] = mergePatch(result[field], value);
	}
	return result;
}
