import { isDeepStrictEqual } from 'node:util';
import { ApiError, badRequest } from '../errors.ts';

/** An operation of RFC 6902. */
interface Operation {
	op: string;
	path: string;
	from?: string;
	value?: unknown;
}

type Container = Record<string, unknown> | unknown[];

const refuse = (message: string): ApiError => new ApiError(422, 'Invalid', message, {});

/** Parses a JSON pointer (RFC 6901). */
function parsePointer(pointer: unknown): string[] {
	if (typeof pointer !== 'string' || (pointer !== '' && !pointer.startsWith('/')))
		throw badRequest(`json patch: path ${JSON.stringify(pointer)} is not a JSON pointer`);
	return pointer
		.split('/')
		.slice(1)
		.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;

function indexOf(list: readonly unknown[], key: string, limit: number, path: string): number {
	if (!/^(0|[1-9]\d*)$/.test(key) || Number(key) > limit)
		throw refuse(
			`the server rejected our request due to an error in our request: ${path}: no such array index (${list.length} items)`,
		);
	return Number(key);
}

const has = (container: Container, key: string): boolean => Object.hasOwn(container, key);

const missing = (op: string, path: string): ApiError =>
	refuse(
		`the server rejected our request due to an error in our request: ${op} operation does not apply: doc is missing path: ${path}: missing value`,
	);

function parentOf(root: unknown, parts: readonly string[], op: string, path: string): Container {
	let at = root;
	for (const part of parts.slice(0, -1)) {
		if (!isContainer(at) || !has(at, part)) throw missing(op, path);
		at = (at as Record<string, unknown>)[part];
	}
	if (!isContainer(at)) throw missing(op, path);
	return at;
}

function read(root: unknown, parts: readonly string[], op: string, path: string): unknown {
	if (parts.length === 0) return root;
	const parent = parentOf(root, parts, op, path);
	const key = parts.at(-1)!;
	if (!has(parent, key)) throw missing(op, path);
	return (parent as Record<string, unknown>)[key];
}

function add(root: unknown, parts: readonly string[], value: unknown, path: string): unknown {
	if (parts.length === 0) return value;
	const parent = parentOf(root, parts, 'add', path);
	const key = parts.at(-1)!;
	if (!Array.isArray(parent)) parent[key] = value;
	else if (key === '-') parent.push(value);
	else parent.splice(indexOf(parent, key, parent.length, path), 0, value);
	return root;
}

function remove(root: unknown, parts: readonly string[], path: string): unknown {
	if (parts.length === 0) return null;
	const parent = parentOf(root, parts, 'remove', path);
	const key = parts.at(-1)!;
	if (!has(parent, key)) throw missing('remove', path);
	if (Array.isArray(parent)) parent.splice(indexOf(parent, key, parent.length - 1, path), 1);
	else delete parent[key];
	return root;
}

function replace(root: unknown, parts: readonly string[], value: unknown, path: string): unknown {
	if (parts.length === 0) return value;
	const parent = parentOf(root, parts, 'replace', path);
	const key = parts.at(-1)!;
	if (!has(parent, key)) throw missing('replace', path);
	(parent as Record<string, unknown>)[key] = value;
	return root;
}

function test(root: unknown, parts: readonly string[], value: unknown, path: string): unknown {
	const found =
		parts.length > 0 && !has(parentOf(root, parts, 'test', path), parts.at(-1)!)
			? null
			: read(root, parts, 'test', path);
	if (!isDeepStrictEqual(found, value))
		throw refuse(
			`the server rejected our request due to an error in our request: testing value ${path} failed: test failed`,
		);
	return root;
}

function step(root: unknown, operation: Operation): unknown {
	const { op, path, value } = operation;
	const parts = parsePointer(path);
	switch (op) {
		case 'add':
			return add(root, parts, structuredClone(value), path);
		case 'remove':
			return remove(root, parts, path);
		case 'replace':
			return replace(root, parts, structuredClone(value), path);
		case 'test':
			return test(root, parts, value, path);
		case 'move':
		case 'copy': {
			const from = parsePointer(operation.from);
			const moved = structuredClone(read(root, from, op, operation.from!));
			return add(op === 'move' ? remove(root, from, operation.from!) : root, parts, moved, path);
		}
		default:
			throw badRequest(`json patch: unknown operation ${JSON.stringify(op)}`);
	}
}

/**
 * Applies an RFC 6902 patch to a private copy of `document`.
 * @throws ApiError 400 (not a patch), 422 (does not apply).
 */
export function jsonPatch(document: unknown, patch: unknown): unknown {
	if (!Array.isArray(patch)) throw badRequest('json patch: expected an array of operations');
	let root: unknown = structuredClone(document);
	for (const operation of patch as Operation[]) root = step(root, operation);
	return root;
}
