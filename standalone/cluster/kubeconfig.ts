/** Kubeconfig files of a cluster. Each has a server, its CA and one identity. */
import { readFileSync } from 'node:fs';
import { parse, stringify } from 'yaml';
import type { KeyPair } from '../auth/certificates.ts';
import { writePrivate } from './private-files.ts';

const NAME = 'maglane';

/** Server, CA and identity of a client; all texts in PEM. */
export interface Access {
	readonly server: string;
	readonly authority: string;
	readonly identity: KeyPair;
}

export function writeKubeconfig(file: string, { server, authority, identity }: Access): void {
	const cluster = { server, 'certificate-authority-data': base64(authority) };
	const user = {
		'client-certificate-data': base64(identity.cert),
		'client-key-data': base64(identity.key),
	};
	const config = {
		apiVersion: 'v1',
		kind: 'Config',
		'current-context': NAME,
		clusters: [{ name: NAME, cluster }],
		contexts: [{ name: NAME, context: { cluster: NAME, user: NAME, namespace: 'default' } }],
		users: [{ name: NAME, user }],
	};
	writePrivate(file, stringify(config));
}

/** Reads a file of writeKubeconfig(). @throws Error if the file is unreadable or malformed. */
export function readKubeconfig(file: string): Access {
	const config = parse(readFileSync(file, 'utf8'));
	const { cluster } = config.clusters[0];
	const { user } = config.users[0];
	return {
		server: cluster.server,
		authority: text(cluster['certificate-authority-data']),
		identity: { cert: text(user['client-certificate-data']), key: text(user['client-key-data']) },
	};
}

const base64 = (plain: string): string => Buffer.from(plain).toString('base64');
const text = (encoded: string): string => Buffer.from(encoded, 'base64').toString();
