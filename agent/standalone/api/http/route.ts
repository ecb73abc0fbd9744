import { noSuchPath } from '../errors.ts';
import { findKind, KINDS, type Kind } from '../kinds.ts';

/** A path below /api/v1 or /apis/<group>/<version>, taken apart. */
export interface Route {
	kind: Kind;
	namespace: string | undefined;
	name: string | undefined;
	subresource: string | undefined;
}

const isGroupVersion = (group: string, version: string): boolean =>
	KINDS.some((kind) => kind.group === group && kind.version === version);

/** @throws ApiError 404 for a resource that is not served. */
function resourceRoute(group: string, version: string, parts: readonly string[]): Route {
	const [first = '', second, third] = parts;
	const inside = first === 'namespaces' && third !== undefined && third !== 'status' && third !== 'finalize';
	const [resource = '', name, subresource, ...rest] = inside ? parts.slice(2) : parts;
	const kind = findKind(group, version, resource);
	if (!kind || rest.length > 0 || (inside && !kind.namespaced)) throw noSuchPath();
	// Namespaced objects have one address; without a namespace there is only the list over all
	if (!inside && kind.namespaced && name !== undefined) throw noSuchPath();
	return { kind, namespace: inside ? second : undefined, name, subresource };
}

/** The resource that a path names, or undefined where it is not one (discovery, health, ...). @throws ApiError 404. */
export function routeOf(path: string): Route | undefined {
	const parts = path
		.split('/')
		.filter((part) => part !== '')
		.map(decode);
	const [root, ...rest] = parts;
	if (root === 'api' && rest[0] === 'v1' && rest.length > 1) return resourceRoute('', 'v1', rest.slice(1));
	if (root !== 'apis' || rest.length < 3) return undefined;
	const [group = '', version = ''] = rest;
	if (!isGroupVersion(group, version)) throw noSuchPath();
	return resourceRoute(group, version, rest.slice(2));
}

function decode(part: string): string {
	try {
		return decodeURIComponent(part);
	} catch {
		throw noSuchPath();
	}
}
