/** The sender of a request to the API server (authentication.k8s.io/v1, UserInfo). */

export interface User {
	readonly name: string;
	readonly groups: readonly string[];
	/** The uid of a ServiceAccount object. */
	readonly uid?: string;
	readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** Group with all rights, regardless of the RBAC objects. */
export const MASTERS = 'system:masters';
export const AUTHENTICATED = 'system:authenticated';
export const UNAUTHENTICATED = 'system:unauthenticated';

const SERVICE_ACCOUNT = 'system:serviceaccount:';
const SERVICE_ACCOUNTS = 'system:serviceaccounts';

/** The user name of a service account. */
export function serviceAccountName(namespace: string, name: string): string {
	return `${SERVICE_ACCOUNT}${namespace}:${name}`;
}

/** The groups of a service account; the authenticator adds system:authenticated. */
export function serviceAccountGroups(namespace: string): string[] {
	return [SERVICE_ACCOUNTS, `${SERVICE_ACCOUNTS}:${namespace}`];
}
