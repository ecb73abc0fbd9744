import type { FieldError } from './field-error.ts';
import { fieldErrorMessage, fieldErrorReason } from './field-error.ts';

/** `metav1.StatusCause`. */
export interface StatusCause {
	reason?: string;
	message: string;
	field?: string;
}

/** `metav1.StatusDetails`. */
export interface StatusDetails {
	name?: string;
	group?: string;
	kind?: string;
	uid?: string;
	causes?: StatusCause[];
	retryAfterSeconds?: number;
}

/** `metav1.Status`, the body of every error. */
export interface Status {
	kind: 'Status';
	apiVersion: 'v1';
	metadata: Record<string, never>;
	status: 'Failure' | 'Success';
	message?: string;
	reason?: string;
	details?: StatusDetails;
	code?: number;
}

/**
 * An error of the API, in process and over HTTP. `code` is the HTTP status, `reason` the
 * machine-readable name.
 */
export class ApiError extends Error {
	readonly code: number;
	readonly reason: string;
	readonly details: StatusDetails | undefined;

	constructor(code: number, reason: string, message: string, details?: StatusDetails) {
		super(message);
		this.name = 'ApiError';
		this.code = code;
		this.reason = reason;
		this.details = details;
	}

	toStatus(): Status {
		return {
			kind: 'Status',
			apiVersion: 'v1',
			metadata: {},
			status: 'Failure',
			message: this.message,
			reason: this.reason,
			...(this.details ? { details: this.details } : {}),
			code: this.code,
		};
	}
}

/** Names a resource in error messages: `services "web"`, `deployments.apps "web"`. */
export interface ResourceName {
	group: string;
	resource: string;
	kind: string;
}

const groupResource = (of: ResourceName): string => (of.group ? `${of.resource}.${of.group}` : of.resource);
const groupKind = (of: ResourceName): string => (of.group ? `${of.kind}.${of.group}` : of.kind);
const detailsOf = (of: ResourceName, name: string): StatusDetails => ({
	...(name ? { name } : {}),
	...(of.group ? { group: of.group } : {}),
	kind: of.resource,
});

export const notFound = (of: ResourceName, name: string): ApiError =>
	new ApiError(404, 'NotFound', `${groupResource(of)} "${name}" not found`, detailsOf(of, name));

export const alreadyExists = (of: ResourceName, name: string): ApiError =>
	new ApiError(409, 'AlreadyExists', `${groupResource(of)} "${name}" already exists`, detailsOf(of, name));

export const MODIFIED =
	'the object has been modified; please apply your changes to the latest version and try again';

export const conflict = (of: ResourceName, name: string, why = MODIFIED): ApiError =>
	new ApiError(
		409,
		'Conflict',
		`Operation cannot be fulfilled on ${groupResource(of)} "${name}": ${why}`,
		detailsOf(of, name),
	);

export const forbidden = (of: ResourceName, name: string, why: string, causes?: StatusCause[]): ApiError =>
	new ApiError(403, 'Forbidden', `${groupResource(of)} "${name}" is forbidden: ${why}`, {
		...detailsOf(of, name),
		...(causes ? { causes } : {}),
	});

/** A 422 error with one cause for each field error. `errors` must not be empty. */
export function invalid(of: ResourceName, name: string, errors: readonly FieldError[]): ApiError {
	const said = errors.map((error) => `${error.field}: ${fieldErrorMessage(error)}`);
	const list = said.length === 1 ? said[0]! : `[${said.join(', ')}]`;
	return new ApiError(422, 'Invalid', `${groupKind(of)} "${name}" is invalid: ${list}`, {
		...(name ? { name } : {}),
		...(of.group ? { group: of.group } : {}),
		kind: of.kind,
		causes: errors.map((error) => ({
			reason: fieldErrorReason(error),
			message: fieldErrorMessage(error),
			field: error.field,
		})),
	});
}

export const badRequest = (message: string): ApiError => new ApiError(400, 'BadRequest', message);

export const expired = (message: string): ApiError => new ApiError(410, 'Expired', message);

/** The client asks for a resourceVersion that this server has not reached. */
export const tooLarge = (asked: number, current: number): ApiError => {
	const message = `Too large resource version: ${asked}, current: ${current}`;
	return new ApiError(504, 'Timeout', `Timeout: ${message}`, {
		causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
		retryAfterSeconds: 1,
	});
};

export const noSuchPath = (): ApiError =>
	new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});

export const methodNotAllowed = (): ApiError =>
	new ApiError(
		405,
		'MethodNotAllowed',
		'the server does not allow this method on the requested resource',
		{},
	);

export const unsupportedMediaType = (accepted: readonly string[], why?: string): ApiError =>
	new ApiError(
		415,
		'UnsupportedMediaType',
		why ??
			`the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
		{},
	);
