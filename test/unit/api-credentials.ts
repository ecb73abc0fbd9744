/** Credentials of an API server in tests: made once in a process, and the owner's client certificate with them. */
import type { Credentials } from '../../agent/standalone/api/index.ts';
import { createAuthority, createPrivateKey, Issuer } from '../../agent/standalone/auth/certificates.ts';
import { MASTERS } from '../../agent/standalone/auth/user.ts';
import type { Access } from '../../agent/standalone/cluster/kubeconfig.ts';

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

/** For node:https and node:tls: the owner's certificate, and whom it trusts. */
export const ownerTls = { ca: authority.cert, cert: identity.cert, key: identity.key };

export const ownerAccess = (port: number): Access => ({
	server: `https://127.0.0.1:${port}`,
	authority: authority.cert,
	identity,
});
