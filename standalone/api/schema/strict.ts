import { badRequest } from '../errors.ts';
import { apiVersionOf, type Kind } from '../kinds.ts';
import { elementOf, type ModelField, type Models, modelNameOf } from './models.ts';

/** Fields of resource quantities. JSON numbers are valid there. */
const QUANTITIES = new Set([
	'limits',
	'requests',
	'capacity',
	'allocatable',
	'allocatedResources',
	'sizeLimit',
	'divisor',
	'overhead',
]);

/** Group, version and kind of a type. */
export type TypeName = Pick<Kind, 'group' | 'version' | 'kind'>;

interface Walk {
	models: Models;
	kind: TypeName;
	unknown: string[];
}

type Place = Pick<ModelField, 'type' | 'format'> & { path: string; quantity: boolean };

const nameOfType = (value: unknown): string =>
	Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;

function mismatch({ kind }: Walk, value: unknown, { path, type, format }: Place): never {
	throw badRequest(
		`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: json: cannot unmarshal ${nameOfType(value)} into Go struct field ${kind.kind}.${path} of type ${format || type}`,
	);
}

/** Checks a scalar value. Converts quantities from numbers to strings. */
function plain(walk: Walk, value: unknown, place: Place): unknown {
	const { type, format, quantity } = place;
	switch (type) {
		case 'string':
			if (typeof value === 'number' && quantity) return String(value);
			return typeof value === 'string' ? value : mismatch(walk, value, place);
		case 'number':
			if (typeof value !== 'number' || (format.startsWith('int') && !Number.isInteger(value)))
				return mismatch(walk, value, place);
			return value;
		case 'boolean':
			return typeof value === 'boolean' ? value : mismatch(walk, value, place);
		case 'IntOrString':
			return typeof value === 'string' || Number.isInteger(value) ? value : mismatch(walk, value, place);
		case 'Date':
		case 'V1MicroTime':
			return typeof value === 'string' ? value : mismatch(walk, value, place);
		default:
			return value;
	}
}

function visit(walk: Walk, value: unknown, place: Place): unknown {
	const container = elementOf(place.type);
	if (container?.container === 'list') {
		if (!Array.isArray(value)) return mismatch(walk, value, { ...place, type: `[]${container.element}` });
		return value.map((entry, at) => {
			const here = { ...place, type: container.element, path: `${place.path}[${at}]` };
			return visit(walk, entry ?? zeroOf(walk, container.element), here);
		});
	}
	if (container) {
		if (typeof value !== 'object' || Array.isArray(value))
			return mismatch(walk, value, { ...place, type: 'map' });
		const entries = Object.entries(value as object).map(([key, entry]) => [
			key,
			visit(walk, entry ?? zeroOf(walk, container.element), {
				...place,
				type: container.element,
				path: `${place.path}.${key}`,
			}),
		]);
		return Object.fromEntries(entries);
	}
	const model = place.type === 'V1MicroTime' ? undefined : walk.models.get(place.type);
	if (!model) return plain(walk, value, place);
	if (typeof value !== 'object' || Array.isArray(value)) return mismatch(walk, value, place);
	return visitModel(walk, value as Record<string, unknown>, place.type, place.path);
}

/** The value that Go decodes null into, as an element of a list or map. */
function zeroOf({ models }: Walk, type: string): unknown {
	const container = elementOf(type);
	if (container) return container.container === 'list' ? [] : {};
	if (type !== 'V1MicroTime' && models.get(type)) return {};
	return { number: 0, boolean: false, IntOrString: 0, any: null, object: {} }[type] ?? '';
}

function visitModel(
	walk: Walk,
	value: Record<string, unknown>,
	name: string,
	path: string,
): Record<string, unknown> {
	const model = walk.models.get(name)!;
	const known: Record<string, unknown> = {};
	for (const [field, entry] of Object.entries(value)) {
		const here = path === '' ? field : `${path}.${field}`;
		const declared = model.fields.get(field);
		if (!declared) walk.unknown.push(here);
		else if (entry !== null)
			known[field] = visit(walk, entry, { ...declared, path: here, quantity: QUANTITIES.has(field) });
	}
	return known;
}

/**
 * Decodes like the API server's typed decoding. Drops and reports fields that the type lacks.
 * Treats null as absent.
 * @throws ApiError 400 for a value of the wrong type.
 */
export function checkFields<T extends object>(
	models: Models,
	kind: TypeName,
	object: T,
): { object: T; unknown: string[] } {
	const name = modelNameOf(apiVersionOf(kind), kind.kind);
	if (!models.get(name)) return { object, unknown: [] };
	const walk: Walk = { models, kind, unknown: [] };
	const known = visitModel(walk, object as Record<string, unknown>, name, '');
	return { object: known as T, unknown: walk.unknown };
}
