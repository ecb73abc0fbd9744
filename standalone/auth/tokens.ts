/**
 * Tokens of service accounts: signed JSON Web Tokens. They are valid only while the objects that
 * they are bound to exist (KEP-1205).
 */
import { createPublicKey } from 'node:crypto';
import { importPKCS8, importSPKI, type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { KubeObject, ObjectApi, ServiceAccount } from '../port.ts';
import { serviceAccountGroups, serviceAccountName, type User } from './user.ts';

const ALGORITHM = 'ES256';
/** Issuer and default audience, as in kubeadm's configuration. */
export const TOKEN_ISSUER = 'https://kubernetes.default.svc.cluster.local';
/**
 * A kubelet requests an hour. API servers extend that to a year, for clients that do not reload the
 * file.
 */
export const POD_TOKEN_SECONDS = 365 * 24 * 3600;

/** Kinds of objects to which a token can be bound, with their resources. */
const BOUND = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' } as const;
export type BoundKind = keyof typeof BOUND;

export interface BoundObject {
	readonly kind: BoundKind;
	readonly name: string;
	readonly uid: string;
}

export interface TokenRequest {
	readonly account: ServiceAccount;
	/** The token is valid only while this object exists. */
	readonly bound?: BoundObject;
	/** Undefined for a token without expiry. */
	readonly seconds?: number;
	readonly audiences?: readonly string[];
}

/** The private claims of a token, as in Kubernetes. */
interface Claims {
	readonly namespace: string;
	readonly serviceaccount: { readonly name: string; readonly uid: string };
	readonly pod?: { readonly name: string; readonly uid: string };
	readonly secret?: { readonly name: string; readonly uid: string };
	readonly node?: { readonly name: string; readonly uid: string };
}

const CLAIMS = 'kubernetes.io';

export interface Tokens {
	/** Signs a token. @returns the token and its expiry in seconds since 1970. */
	issue(request: TokenRequest): Promise<{ token: string; expires: number | undefined }>;
	/** @returns the service account of a valid token; undefined for any other text. */
	verify(token: string, audiences?: readonly string[]): Promise<User | undefined>;
}

/**
 * @param key PKCS #8 in PEM, ECDSA P-256
 * @param now milliseconds since 1970. It must not step, because a step can expire tokens early.
 */
export function createTokens(key: string, objects: ObjectApi, now: () => number): Tokens {
	const privateKey = importPKCS8(key, ALGORITHM);
	const publicKey = importSPKI(
		createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
		ALGORITHM,
	);
	return {
		async issue({ account, bound, seconds, audiences = [TOKEN_ISSUER] }) {
			const { namespace = '', name, uid = '' } = account.metadata;
			const issued = Math.floor(now() / 1000);
			const expires = seconds === undefined ? undefined : issued + seconds;
			const claims = {
				namespace,
				serviceaccount: { name, uid },
				...(bound && { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
			};
			const jwt = new SignJWT({ [CLAIMS]: claims })
				.setProtectedHeader({ alg: ALGORITHM })
				.setIssuer(TOKEN_ISSUER)
				.setSubject(serviceAccountName(namespace, name))
				.setAudience([...audiences])
				.setIssuedAt(issued)
				.setNotBefore(issued);
			if (expires !== undefined) jwt.setExpirationTime(expires);
			return { token: await jwt.sign(await privateKey), expires };
		},
		async verify(token, audiences = [TOKEN_ISSUER]) {
			try {
				const { payload } = await jwtVerify(token, await publicKey, {
					algorithms: [ALGORITHM],
					issuer: TOKEN_ISSUER,
					audience: [...audiences],
					currentDate: new Date(now()),
				});
				return userOf(payload, objects);
			} catch {
				return undefined;
			}
		},
	};
}

/**
 * The user of a token with a valid signature. Undefined if the account or a bound object no longer
 * exists.
 */
function userOf(payload: JWTPayload, objects: ObjectApi): User | undefined {
	const claims = payload[CLAIMS] as Claims;
	const { namespace, serviceaccount } = claims;
	if (!isSame(objects.get('serviceaccounts', namespace, serviceaccount.name), serviceaccount.uid))
		return undefined;
	for (const [kind, resource] of Object.entries(BOUND)) {
		const bound = claims[kind.toLowerCase() as 'pod' | 'secret' | 'node'];
		if (!bound) continue;
		const scope = kind === 'Node' ? undefined : namespace;
		if (!isSame(objects.get(resource, scope, bound.name), bound.uid)) return undefined;
	}
	const extra = claims.pod && {
		'authentication.kubernetes.io/pod-name': [claims.pod.name],
		'authentication.kubernetes.io/pod-uid': [claims.pod.uid],
	};
	return {
		name: serviceAccountName(namespace, serviceaccount.name),
		uid: serviceaccount.uid,
		groups: serviceAccountGroups(namespace),
		...(extra && { extra }),
	};
}

const isSame = (object: KubeObject | undefined, uid: string): boolean => object?.metadata.uid === uid;

/** Milliseconds since 1970, from a clock that reads the system time once and then never steps. */
export function steadyClock(): () => number {
	const offset = Date.now() - performance.now();
	return () => offset + performance.now();
}
