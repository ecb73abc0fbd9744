/** Identifies the sender of a request by client certificate or token. */
import type { IncomingMessage } from 'node:http';
import { type PeerCertificate, TLSSocket } from 'node:tls';
import type { Tokens } from './tokens.ts';
import { AUTHENTICATED, type User } from './user.ts';

export type Authenticate = (request: IncomingMessage) => Promise<User | undefined>;

/** @returns a function whose result is undefined for a request without valid credentials. */
export function createAuthenticator(tokens: Tokens): Authenticate {
	/** Users by connection, so that each certificate is parsed once. */
	const known = new WeakMap<TLSSocket, User | undefined>();
	return async ({ socket, headers }) => {
		if (!(socket instanceof TLSSocket)) return undefined;
		if (!known.has(socket)) known.set(socket, certificateUser(socket));
		const user = known.get(socket) ?? (await tokenUser(tokens, headers.authorization));
		return user && { ...user, groups: [...user.groups, AUTHENTICATED] };
	};
}

/**
 * The common name is the user name, the organizations are the groups (kube-apiserver
 * --client-ca-file).
 */
function certificateUser(socket: TLSSocket): User | undefined {
	if (!socket.authorized) return undefined;
	const { subject }: Partial<PeerCertificate> = socket.getPeerCertificate();
	const [name] = listOf(subject?.CN);
	return name === undefined ? undefined : { name, groups: listOf(subject?.O) };
}

/** node:tls gives a string for one value, a list for several. */
const listOf = (value: string | string[] | undefined): string[] =>
	value === undefined ? [] : Array.isArray(value) ? value : [value];

async function tokenUser(tokens: Tokens, authorization = ''): Promise<User | undefined> {
	const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
	return token === undefined ? undefined : tokens.verify(token);
}
