import { ApiError } from '../api/errors.ts';
import type { Access } from './access.ts';
import type { User } from './user.ts';

/**
 * A 403 with kube-apiserver's message (apiserver, endpoints/handlers/responsewriters/errors.go).
 */
export function accessForbidden({ name: user }: User, access: Access): ApiError {
	const who = `User ${JSON.stringify(user)} cannot ${access.verb}`;
	if (access.kind === 'path')
		return new ApiError(403, 'Forbidden', `forbidden: ${who} path ${JSON.stringify(access.path)}`, {});
	const { group, resource, subresource, namespace, name } = access;
	const full = group ? `${resource}.${group}` : resource;
	const what = `resource "${subresource ? `${resource}/${subresource}` : resource}" in API group "${group}"`;
	const where = namespace ? `in the namespace "${namespace}"` : 'at the cluster scope';
	const subject = name ? `${full} "${name}"` : full;
	return new ApiError(403, 'Forbidden', `${subject} is forbidden: ${who} ${what} ${where}`, {
		...(name ? { name } : {}),
		...(group ? { group } : {}),
		kind: resource,
	});
}

/** A 401 with kube-apiserver's message. */
export const unauthorized = (): ApiError => new ApiError(401, 'Unauthorized', 'Unauthorized');
