/** An error of one field, as in `k8s.io/apimachinery/pkg/util/validation/field`. */
export interface FieldError {
	type:
		| 'Invalid'
		| 'Required'
		| 'Forbidden'
		| 'Duplicate'
		| 'NotSupported'
		| 'NotFound'
		| 'TooLong'
		| 'TooMany';
	/** A path like `spec.ports[0].nodePort`. */
	field: string;
	value?: unknown;
	detail?: string;
}

const REASONS = {
	Invalid: 'FieldValueInvalid',
	Required: 'FieldValueRequired',
	Forbidden: 'FieldValueForbidden',
	Duplicate: 'FieldValueDuplicate',
	NotSupported: 'FieldValueNotSupported',
	NotFound: 'FieldValueNotFound',
	TooLong: 'FieldValueTooLong',
	TooMany: 'FieldValueTooMany',
} as const;

const TEXTS = {
	Invalid: 'Invalid value',
	Required: 'Required value',
	Forbidden: 'Forbidden',
	Duplicate: 'Duplicate value',
	NotSupported: 'Unsupported value',
	NotFound: 'Not found',
	TooLong: 'Too long',
	TooMany: 'Too many',
} as const;

const WITHOUT_VALUE: ReadonlySet<FieldError['type']> = new Set([
	'Required',
	'Forbidden',
	'TooLong',
	'TooMany',
]);

export const fieldErrorReason = (error: FieldError): string => REASONS[error.type];

/**
 * Formats a value like Go's `%#v` in the common cases: quoted strings, string lists as
 * `[]string{...}`.
 */
function show(value: unknown): string {
	if (value === undefined || value === null) return 'null';
	if (Array.isArray(value) && value.every((entry) => typeof entry === 'string'))
		return `[]string{${value.map((entry) => JSON.stringify(entry)).join(', ')}}`;
	return JSON.stringify(value);
}

/** The message without the field: `Invalid value: "x": must be ...`. */
export function fieldErrorMessage(error: FieldError): string {
	const value = WITHOUT_VALUE.has(error.type) ? '' : `: ${show(error.value)}`;
	const detail = error.detail ? `: ${error.detail}` : '';
	return `${TEXTS[error.type]}${value}${detail}`;
}

export const invalidField = (field: string, value: unknown, detail: string): FieldError => ({
	type: 'Invalid',
	field,
	value,
	detail,
});
export const requiredField = (field: string, detail = ''): FieldError => ({
	type: 'Required',
	field,
	detail,
});
export const forbiddenField = (field: string, detail: string): FieldError => ({
	type: 'Forbidden',
	field,
	detail,
});
export const duplicateField = (field: string, value: unknown): FieldError => ({
	type: 'Duplicate',
	field,
	value,
});
export const unsupportedField = (
	field: string,
	value: unknown,
	supported: readonly string[],
): FieldError => ({
	type: 'NotSupported',
	field,
	value,
	detail: `supported values: ${supported.map((entry) => JSON.stringify(entry)).join(', ')}`,
});
