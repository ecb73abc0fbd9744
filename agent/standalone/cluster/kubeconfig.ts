/** Kubeconfig files of a cluster without authentication. */
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';

/** @param server URL of the API server. */
export function writeKubeconfig(file: string, server: string): void {
	const name = 'maglane';
	const config = {
		apiVersion: 'v1',
		kind: 'Config',
		'current-context': name,
		clusters: [{ name, cluster: { server } }],
		contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
		users: [{ name, user: {} }],
	};
	// kubectl warns about a file that others can read
	writeFileSync(file, stringify(config), { mode: 0o600 });
}
