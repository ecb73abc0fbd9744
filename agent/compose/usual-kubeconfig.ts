/** Chooses the kubeconfig of a command that has no --kubeconfig. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { distrusted, trustedOwners } from '../bpf/trusted.ts';
import type { Environment } from '../config.ts';

/**
 * Searches like kubectl, but tries the standalone cluster of this directory before the user's file.
 *
 * @returns undefined when there is none
 * @throws Error that names the path when other users can change the file of this directory
 */
export function usualKubeconfig(env: Environment): string | undefined {
	const named = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
	if (named.length > 0) return named.find(existsSync) ?? named[0];
	const here = resolve('.maglane', 'kubeconfig');
	if (existsSync(here)) return requireOwn(here, env);
	const home = join(homedir(), '.kube', 'config');
	return existsSync(home) ? home : undefined;
}

/** Rejects a kubeconfig that other users can change: root would run the programs that it names. */
function requireOwn(file: string, env: Environment): string {
	const owners = trustedOwners();
	// under sudo, the directory usually belongs to the user who called it
	if (process.geteuid?.() === 0 && env['SUDO_UID']) owners.push(Number(env['SUDO_UID']));
	const why = distrusted(file, owners);
	if (why === undefined) return file;
	throw new Error(`Cannot use ${file}: ${why}; name it with --kubeconfig if its programs may run as you`);
}
