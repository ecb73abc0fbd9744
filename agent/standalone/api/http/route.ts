import { noSuchPath } from '../errors.ts';
import { findKind, KINDS, type Kind } from '../kinds.ts';

/** A path below /api/v1 or /apis/<group>/<version>, taken apart, whether or not that resource is served. */
export interface ResourcePath {
	group: string;
	version: string;
	resource: string;
	namespace: string | undefined;
	name: string | undefined;
	subresource: string | undefined;
	/** Parts behind the subresource. */
	rest: readonly string[];
}

/** The path of a resource that is served. */
export interface Route {
	kind: Kind;
	namespace: string | undefined;
	name: string | undefined;
	subresource: string | undefined;
}

/** Subresources of a namespace itself; every other part behind a namespace is a resource in it. */
const OF_NAMESPACES = new Set(['status', 'finalize']);

/**
 * Takes a path apart, for authorization and for routing alike.
 * @returns undefined where the path names no resource (discovery, health, ...). @throws ApiError 404 for a bad escape.
 */
export function resourcePathOf(path: string): ResourcePath | undefined {
	const parts = path
		.split('/')
		.filter((part) => part !== '')
		.map(decode);
	const [root, ...rest] = parts;
	if (root === 'api' && rest.length > 1) return takeApart('', rest[0]!, rest.slice(1));
	if (root !== 'apis' || rest.length < 3) return undefined;
	return takeApart(rest[0]!, rest[1]!, rest.slice(2));
}

function takeApart(group: string, version: string, parts: readonly string[]): ResourcePath {
	const [first = '', second, third] = parts;
	const inside = first === 'namespaces' && third !== undefined && !OF_NAMESPACES.has(third);
	const [resource = '', name, subresource, ...rest] = inside ? parts.slice(2) : parts;
	return { group, version, resource, namespace: inside ? second : undefined, name, subresource, rest };
}

/** @returns undefined where the path names no resource. @throws ApiError 404 for a resource that is not served. */
export function routeOf(path: string): Route | undefined {
	const parts = resourcePathOf(path);
	if (!parts) return undefined;
	const { group, version, resource, namespace, name, subresource, rest } = parts;
	if (!KINDS.some((kind) => kind.group === group && kind.version === version)) throw noSuchPath();
	const kind = findKind(group, version, resource);
	const inside = namespace !== undefined;
	if (!kind || rest.length > 0 || (inside && !kind.namespaced)) throw noSuchPath();
	// Namespaced objects have one address; without a namespace there is only the list over all
	if (!inside && kind.namespaced && name !== undefined) throw noSuchPath();
	return { kind, namespace, name, subresource };
}

function decode(part: string): string {
	try {
		return decodeURIComponent(part);
	} catch {
		throw noSuchPath();
	}
}
