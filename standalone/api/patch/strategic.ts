import { badRequest } from '../errors.ts';
import type { MergeRule } from './merge-keys.ts';

type Json = Record<string, unknown>;
type Rules = ReadonlyMap<string, MergeRule>;

const isObject = (value: unknown): value is Json =>
	typeof value === 'object' && value !== null && !Array.isArray(value);

const PATCH = '$patch';
const RETAIN = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const SET_ORDER = '$setElementOrder/';

const isDirective = (field: string): boolean =>
	field === PATCH || field === RETAIN || field.startsWith(DELETE_FROM) || field.startsWith(SET_ORDER);

/** Converts a patch to a value, where the document has none: removes directives and nulls. */
function strip(value: unknown): unknown {
	if (Array.isArray(value))
		return value.filter((entry) => !isObject(entry) || entry[PATCH] !== 'delete').map(strip);
	if (!isObject(value)) return value;
	const kept = Object.entries(value).filter(([field, entry]) => !isDirective(field) && entry !== null);
	return Object.fromEntries(kept.map(([field, entry]) => [field, strip(entry)]));
}

/**
 * Orders a merged list. Entries in $setElementOrder follow that order. Other entries are
 * interleaved and keep their place relative to the stored list, as in apimachinery's
 * mergeSortedSlice.
 */
function reorder<T>(
	list: readonly T[],
	order: readonly unknown[],
	stored: readonly unknown[],
	identity: (entry: T) => unknown,
): T[] {
	const place = new Map(order.map((entry, at) => [entry, at]));
	const was = new Map(stored.map((entry, at) => [entry, at]));
	const before = (left: T, right: T) => (was.get(identity(left)) ?? -1) < (was.get(identity(right)) ?? -1);
	const named = list
		.filter((entry) => place.has(identity(entry)))
		.sort((a, b) => place.get(identity(a))! - place.get(identity(b))!);
	const others = list.filter((entry) => !place.has(identity(entry)));
	const result: T[] = [];
	let next = 0;
	for (const entry of named) {
		while (next < others.length && !before(entry, others[next]!)) result.push(others[next++]!);
		result.push(entry);
	}
	return [...result, ...others.slice(next)];
}

function mergePrimitives(
	current: readonly unknown[],
	patch: readonly unknown[],
	remove: readonly unknown[],
	order: unknown,
): unknown[] {
	const gone = new Set(remove);
	const merged = [...new Set([...current, ...patch])].filter((entry) => !gone.has(entry));
	return Array.isArray(order) ? reorder(merged, order, current, (entry) => entry) : merged;
}

function keyOf(entry: unknown, key: string, path: string): unknown {
	if (!isObject(entry) || entry[key] === undefined)
		throw badRequest(`map: ${JSON.stringify(entry)} does not contain declared merge key: ${key} (${path})`);
	return entry[key];
}

function mergeObjects(
	current: readonly unknown[],
	patch: readonly unknown[],
	key: string,
	path: string,
	rules: Rules,
): unknown[] {
	if (patch.some((entry) => isObject(entry) && entry[PATCH] === 'replace'))
		return strip(patch.filter((entry) => !isObject(entry) || entry[PATCH] !== 'replace')) as unknown[];
	const result = [...current];
	for (const entry of patch) {
		const id = keyOf(entry, key, path);
		const at = result.findIndex((other) => isObject(other) && other[key] === id);
		if ((entry as Json)[PATCH] === 'delete') {
			// Several entries may have the key (a Service's port 53 for TCP and UDP): delete all
			for (let i = result.length - 1; i >= 0; i--) if ((result[i] as Json)[key] === id) result.splice(i, 1);
		} else if (at < 0) result.push(strip(entry));
		else result[at] = mergeObject(result[at] as Json, entry as Json, path, rules);
	}
	return result;
}

function mergeList(current: unknown, field: string, patch: Json, path: string, rules: Rules): unknown {
	const rule = rules.get(path);
	const list = Array.isArray(current) ? current : [];
	const given = patch[field];
	const order = patch[`${SET_ORDER}${field}`];
	const remove = patch[`${DELETE_FROM}${field}`];
	const values = Array.isArray(given) ? given : [];
	if (!rule || rule.retain) return given === undefined ? current : strip(given);
	const { key } = rule;
	if (key === undefined) return mergePrimitives(list, values, Array.isArray(remove) ? remove : [], order);
	const merged = mergeObjects(list, values, key, path, rules);
	if (!Array.isArray(order)) return merged;
	const ids = order.map((entry) => (isObject(entry) ? entry[key] : entry));
	const idOf = (entry: unknown) => (entry as Json)[key];
	return reorder(merged, ids, list.map(idOf), idOf);
}

const fieldOfDirective = (field: string): string | undefined => {
	for (const prefix of [SET_ORDER, DELETE_FROM])
		if (field.startsWith(prefix)) return field.slice(prefix.length);
	return undefined;
};

function mergeObject(current: Json, patch: Json, path: string, rules: Rules): Json {
	if (patch[PATCH] === 'replace') return strip(patch) as Json;
	if (patch[PATCH] === 'delete') return {};
	if (patch[PATCH] !== undefined && patch[PATCH] !== 'merge')
		throw badRequest(`Unknown patch type found: ${JSON.stringify(patch[PATCH])}`);
	const result: Json = { ...current };
	const retain = patch[RETAIN];
	if (Array.isArray(retain))
		for (const field of Object.keys(result)) if (!retain.includes(field)) delete result[field];
	const fields = new Set(Object.keys(patch).map((field) => fieldOfDirective(field) ?? field));
	for (const field of fields) {
		if (isDirective(field)) continue;
		const here = path === '' ? field : `${path}.${field}`;
		const value = patch[field];
		if (value === null) delete result[field];
		else if (
			Array.isArray(value) ||
			(value === undefined && (Array.isArray(result[field]) || rules.has(here)))
		)
			result[field] = mergeList(result[field], field, patch, here, rules);
		else if (isObject(value)) {
			const before = result[field];
			if (value[PATCH] === 'delete') delete result[field];
			else result[field] = isObject(before) ? mergeObject(before, value, here, rules) : strip(value);
		} else if (value !== undefined) result[field] = value;
	}
	return result;
}

/**
 * Applies a strategic merge patch with its directives: `$patch` (merge, replace, delete),
 * `$retainKeys`, `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>`. Neither
 * argument is changed.
 * @throws ApiError 400.
 */
export function strategicMergePatch(document: Json, patch: unknown, rules: Rules): Json {
	if (!isObject(patch)) throw badRequest('the patch must be a JSON object');
	return mergeObject(document, patch, '', rules);
}
