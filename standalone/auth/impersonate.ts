/** `kubectl --as`: acts as another user, if RBAC grants the sender the verb impersonate. */
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from '../api/errors.ts';
import type { Authorizer, ResourceAccess } from './access.ts';
import { accessForbidden } from './forbidden.ts';
import { AUTHENTICATED, serviceAccountGroups, type User } from './user.ts';

const EXTRA = 'impersonate-extra-';

/** @returns the user in the impersonation headers, or the sender. @throws ApiError 400, 403. */
export function impersonated(sender: User, headers: IncomingHttpHeaders, authorizer: Authorizer): User {
	const wanted = wantedUser(headers);
	if (!wanted) return sender;
	for (const access of accesses(wanted))
		if (!authorizer.authorize(sender, access).allowed) throw accessForbidden(sender, access);
	const account = serviceAccountOf(wanted.name);
	const groups =
		account && wanted.groups.length === 0 ? serviceAccountGroups(account.namespace) : wanted.groups;
	return { ...wanted, groups: [...new Set([...groups, AUTHENTICATED])] };
}

function wantedUser(headers: IncomingHttpHeaders): User | undefined {
	const extra = Object.keys(headers).filter((name) => name.startsWith(EXTRA));
	const name = headers['impersonate-user'];
	const groups = valuesOf(headers['impersonate-group']);
	const uid = headers['impersonate-uid'];
	if (name === undefined || name === '') {
		if (groups.length === 0 && uid === undefined && extra.length === 0) return undefined;
		throw new ApiError(400, 'BadRequest', 'impersonation of groups, uids or extras needs Impersonate-User');
	}
	return {
		name: String(name),
		groups,
		...(uid === undefined ? {} : { uid: String(uid) }),
		...(extra.length === 0
			? {}
			: {
					extra: Object.fromEntries(
						extra.map((key) => [decodeURIComponent(key.slice(EXTRA.length)), valuesOf(headers[key])]),
					),
				}),
	};
}

/** node:http joins repeated headers with a comma and a space. */
const valuesOf = (header: string | string[] | undefined): string[] =>
	header === undefined
		? []
		: (Array.isArray(header) ? header : header.split(', ')).filter((value) => value !== '');

function accesses({ name, groups, uid, extra = {} }: User): ResourceAccess[] {
	const account = serviceAccountOf(name);
	const authentication = 'authentication.k8s.io';
	return [
		account
			? impersonate('', 'serviceaccounts', account.name, account.namespace)
			: impersonate('', 'users', name),
		...groups.map((group) => impersonate('', 'groups', group)),
		...(uid === undefined ? [] : [impersonate(authentication, 'uids', uid)]),
		...Object.entries(extra).flatMap(([key, values]) =>
			values.map((value) => ({ ...impersonate(authentication, 'userextras', value), subresource: key })),
		),
	];
}

const impersonate = (group: string, resource: string, name: string, namespace = ''): ResourceAccess => ({
	kind: 'resource',
	verb: 'impersonate',
	group,
	resource,
	subresource: '',
	namespace,
	name,
});

function serviceAccountOf(user: string): { namespace: string; name: string } | undefined {
	const [, namespace, name] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user) ?? [];
	return namespace !== undefined && name !== undefined ? { namespace, name } : undefined;
}
