/** Files and directories that only their owner can access, regardless of the process's umask. */
import {
	chmodSync,
	closeSync,
	lstatSync,
	mkdirSync,
	openSync,
	readdirSync,
	renameSync,
	writeFileSync,
} from 'node:fs';
import { distrustedItself, trustedOwners } from '../../agent/bpf/trusted.ts';

export const PRIVATE_DIRECTORY = 0o700;
export const PRIVATE_FILE = 0o600;
const OTHERS = 0o077;

/** Replaces a file atomically: a reader sees the old text or the new one. */
export function writePrivate(file: string, text: string): void {
	writeFileSync(`${file}.new`, text, { mode: PRIVATE_FILE });
	chmodSync(`${file}.new`, PRIVATE_FILE);
	renameSync(`${file}.new`, file);
}

/** Creates an empty private file, or makes an existing file private. */
export function touchPrivate(file: string): void {
	closeSync(openSync(file, 'a', PRIVATE_FILE));
	chmodSync(file, PRIVATE_FILE);
}

/**
 * Rejects a state directory that another user may have prepared. Its kubeconfigs, sockets and state
 * name processes to kill and programs to run, and this user would execute them.
 * @throws Error naming the directory and the remedy.
 */
export function requireOwnState(directory: string): void {
	const why = distrustedItself(directory, trustedOwners());
	if (why === undefined) return;
	throw new Error(
		`Cannot use the cluster in ${directory}: ${why}; make it yours alone, or name another with --state`,
	);
}

/**
 * Creates the state directory, or removes other users' access to an existing one.
 * @param own file names that identify a state directory.
 * @throws Error for another user's directory, a symbolic link, or a directory that is open to
 * others and contains only other files.
 */
export function openStateDirectory(directory: string, own: readonly string[]): void {
	mkdirSync(directory, { recursive: true, mode: PRIVATE_DIRECTORY });
	const found = lstatSync(directory);
	const refuse = (why: string): never => {
		throw new Error(
			`Cannot keep the cluster's keys in ${directory}: ${why}; choose another directory with --state`,
		);
	};
	if (!found.isDirectory()) refuse('it is no directory');
	if (found.uid !== process.getuid?.()) refuse(`it belongs to user ${found.uid}`);
	if ((found.mode & OTHERS) === 0) return;
	const entries = readdirSync(directory);
	if (entries.length > 0 && !entries.some((entry) => own.includes(entry)))
		refuse('other users may read it, and it holds other files');
	chmodSync(directory, PRIVATE_DIRECTORY);
}
