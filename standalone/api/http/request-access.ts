/** Maps a request to the accesses that it needs (apiserver, endpoints/request/requestinfo.go). */
import type { Access } from '../../auth/access.ts';
import { flagOf } from './query.ts';
import { resourcePathOf } from './route.ts';
import { STREAMING } from './streaming.ts';

const VERBS: Readonly<Record<string, string>> = {
	GET: 'get',
	HEAD: 'get',
	POST: 'create',
	PUT: 'update',
	PATCH: 'patch',
	DELETE: 'delete',
};

/** @returns all accesses that the sender needs. @throws ApiError 404 for a bad escape. */
export function accessesOf(method: string, { pathname, searchParams }: URL): Access[] {
	const path = resourcePathOf(pathname);
	if (!path) return [{ kind: 'path', verb: method.toLowerCase(), path: pathname }];
	const { group, resource, namespace, name, subresource = '' } = path;
	const selected = name ?? selectedName(searchParams);
	const verb = verbOf(method, name, searchParams);
	const access: Access = {
		kind: 'resource',
		verb,
		group,
		resource,
		subresource,
		// the namespace of a Namespace is itself
		namespace: namespace ?? (group === '' && resource === 'namespaces' ? (name ?? '') : ''),
		name: selected,
	};
	// a WebSocket starts with GET, but needs the permission of POST (KEP-5288)
	const streams = resource === 'pods' && STREAMING.includes(subresource) && verb !== 'create';
	return streams ? [access, { ...access, verb: 'create' }] : [access];
}

function verbOf(method: string, name: string | undefined, query: URLSearchParams): string {
	const verb = VERBS[method] ?? '';
	if (verb === 'get' && flagOf(query, 'watch')) return 'watch';
	if (name !== undefined) return verb;
	if (verb === 'get') return 'list';
	return verb === 'delete' ? 'deletecollection' : verb;
}

/** A list that selects one object by name is an access to that name. */
const selectedName = (query: URLSearchParams): string =>
	/^metadata\.name==?([^,=!]+)$/.exec(query.get('fieldSelector') ?? '')?.[1] ?? '';
