import { noSuchPath } from '../errors.ts';
import { findKind, KINDS, type Kind } from '../kinds.ts';

/**
 * The parts of a path below /api/v1 or /apis/<group>/<version>. The server may or may not serve the
 * resource.
 */
export interface ResourcePath {
	group: string;
	version: string;
	resource: string;
	namespace: string | undefined;
	name: string | undefined;
	subresource: string | undefined;
	/** Parts after the subresource. */
	rest: readonly string[];
}

/** The path of a served resource. */
export interface Route {
	kind: Kind;
	namespace: string | undefined;
	name: string | undefined;
	subresource: string | undefined;
}

/** Subresources of a namespace. Any other part after a namespace is a resource in it. */
const OF_NAMESPACES = new Set(['status', 'finalize']);

/**
 * Parses a path for authorization and routing.
 * @returns undefined if the path has no resource (discovery, health, ...).
 * @throws ApiError 404 for a bad escape.
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

/**
 * @returns undefined if the path has no resource.
 * @throws ApiError 404 if the resource is not served.
 */
export function routeOf(path: string): Route | undefined {
	const parts = resourcePathOf(path);
	if (!parts) return undefined;
	const { group, version, resource, namespace, name, subresource, rest } = parts;
	if (!KINDS.some((kind) => kind.group === group && kind.version === version)) throw noSuchPath();
	const kind = findKind(group, version, resource);
	const inside = namespace !== undefined;
	if (!kind || rest.length > 0 || (inside && !kind.namespaced)) throw noSuchPath();
	// A namespaced object has only one path. Without a namespace, the only resource path is the list
	// of all namespaces
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
