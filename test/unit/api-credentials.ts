/**
 * Credentials of an API server in tests, with the client certificate of the owner. Each process
 * creates them once.
 */
import type { Credentials } from '../../standalone/api/index.ts';
import { createAuthority, createPrivateKey, Issuer } from '../../standalone/auth/certificates.ts';
import { MASTERS } from '../../standalone/auth/user.ts';
import type { Access } from '../../standalone/cluster/kubeconfig.ts';

const names = { dns: ['localhost'], addresses: ['127.0.0.1'] };
const authority = await createAuthority('test');
const issuer = await Issuer.of(authority);

export const credentials: Credentials = {
	authority: authority.cert,
	server: await issuer.server({ commonName: 'kube-apiserver' }, names),
	names,
	tokenKey: await createPrivateKey(),
};

export const identity = await issuer.client({ commonName: 'kubernetes-admin', organizations: [MASTERS] });

/** Options of node:https and node:tls: the certificate of the owner, and the trusted authority. */
export const ownerTls = { ca: authority.cert, cert: identity.cert, key: identity.key };

export const ownerAccess = (port: number): Access => ({
	server: `https://127.0.0.1:${port}`,
	authority: authority.cert,
	identity,
});
