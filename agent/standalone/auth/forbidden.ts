import { ApiError } from '../api/errors.ts';
import type { Access } from './access.ts';
import type { User } from './user.ts';

/** 403 in kube-apiserver's words (apiserver, endpoints/handlers/responsewriters/errors.go). */
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

/** 401 in kube-apiserver's words. */
export const unauthorized = (): ApiError => new ApiError(401, 'Unauthorized', 'Unauthorized');
