/**
 * Credentials of a cluster. The CA and the token key last as long as the state directory. Copied
 * kubeconfigs and tokens of running pods thus stay valid with the next control plane. Each `up`
 * signs new certificates for the server and its clients.
 */
import { createPrivateKey as parseKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IpRange } from '../alloc/ip-range.ts';
import type { Credentials } from '../api/index.ts';
import {
	createAuthority,
	createPrivateKey,
	Issuer,
	type KeyPair,
	type ServedNames,
} from '../auth/certificates.ts';
import { MASTERS } from '../auth/user.ts';
import { CLUSTER_ZONE, nodeAddresses, SERVICE_CIDRS } from '../net/addresses.ts';
import type { ClusterOptions } from './options.ts';
import type { Paths } from './paths.ts';
import { writePrivate } from './private-files.ts';

/** The group of all agents. It is bound to a copy of the DaemonSet's ClusterRole. */
export const AGENTS_GROUP = 'maglane:agents';
const ADMIN = 'kubernetes-admin';

export interface ClusterCredentials extends Credentials {
	readonly admin: KeyPair;
	/** Signs a client certificate for the agent of a node. */
	agent(node: string): Promise<KeyPair>;
}

/** Opens or creates the credentials. @throws Error naming a malformed file and the remedy. */
export async function openCredentials(options: ClusterOptions, { pki }: Paths): Promise<ClusterCredentials> {
	mkdirSync(pki, { recursive: true, mode: 0o700 });
	const authority = await authorityIn(pki);
	const issuer = await Issuer.of(authority);
	const names = servedNames(options);
	return {
		authority: authority.cert,
		server: await issuer.server({ commonName: 'kube-apiserver' }, names),
		names,
		tokenKey: await tokenKeyIn(pki),
		admin: await issuer.client({ commonName: ADMIN, organizations: [MASTERS] }),
		agent: (node) => issuer.client({ commonName: `maglane:agent:${node}`, organizations: [AGENTS_GROUP] }),
	};
}

async function authorityIn(directory: string): Promise<KeyPair> {
	const [certFile, keyFile] = [join(directory, 'ca.crt'), join(directory, 'ca.key')];
	if (!existsSync(certFile) || !existsSync(keyFile)) {
		const made = await createAuthority('maglane');
		writePrivate(keyFile, made.key);
		writePrivate(certFile, made.cert);
		return made;
	}
	const cert = read(certFile, (text) => new X509Certificate(text));
	const key = read(keyFile, parseKey);
	if (new X509Certificate(cert).checkPrivateKey(parseKey(key))) return { cert, key };
	throw new Error(`Cannot use ${certFile}: ${keyFile} is not its key; ${REMEDY}`);
}

async function tokenKeyIn(directory: string): Promise<string> {
	const file = join(directory, 'sa.key');
	if (!existsSync(file)) writePrivate(file, await createPrivateKey());
	return read(file, parseKey);
}

const REMEDY = 'remove both to get new ones, or the cluster with "maglane standalone down"';

function read(file: string, parse: (text: string) => unknown): string {
	const text = readFileSync(file, 'utf8');
	try {
		parse(text);
		return text;
	} catch (cause) {
		throw new Error(`Cannot read ${file}: it was changed or cut off; ${REMEDY}`, { cause });
	}
}

/** Names and addresses at which the owner, agents and pods reach the API server. */
function servedNames({ nodes, families, network }: ClusterOptions): ServedNames {
	const services = families.map((family) => new IpRange(SERVICE_CIDRS[family]).at(0));
	const numbers = network ? Array.from({ length: nodes }, (_, i) => i + 1) : [];
	return {
		dns: [
			'localhost',
			'kubernetes',
			'kubernetes.default',
			'kubernetes.default.svc',
			`kubernetes.default.svc.${CLUSTER_ZONE}`,
		],
		addresses: [
			'127.0.0.1',
			'::1',
			...services,
			...numbers.flatMap((number) => families.map((family) => nodeAddresses(number)[family])),
		],
	};
}
