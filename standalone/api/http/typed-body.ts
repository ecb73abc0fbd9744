import type { IncomingMessage } from 'node:http';
import { badRequest } from '../errors.ts';
import type { Models } from '../schema/models.ts';
import { checkFields, type TypeName } from '../schema/strict.ts';
import { mediaType, parseObject, readBytes } from './body.ts';

/** @throws ApiError 400 if the value is no JSON object. */
export function objectOf(value: unknown): Record<string, unknown> {
	if (typeof value !== 'object' || value === null || Array.isArray(value))
		throw badRequest('the object provided is unrecognized (must be a JSON object)');
	return value as Record<string, unknown>;
}

/**
 * Reads a body that is no stored object, such as a review or DeleteOptions. Unknown fields are
 * dropped.
 * @throws ApiError 400 for a field of the wrong type, 413, 415.
 */
export async function readTyped<T>(models: Models, type: TypeName, request: IncomingMessage): Promise<T> {
	return typed(models, type, parseObject(await readBytes(request), mediaType(request)));
}

/** A parsed body as an object of the type. @throws ApiError 400 for a field of the wrong type. */
export const typed = <T>(models: Models, type: TypeName, value: unknown): T =>
	checkFields(models, type, objectOf(value)).object as T;
