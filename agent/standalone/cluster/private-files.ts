/** Files and directories that their owner alone may use, whatever the process's umask is. */
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
import { distrustedItself, trustedOwners } from '../../bpf/trusted.ts';

export const PRIVATE_DIRECTORY = 0o700;
export const PRIVATE_FILE = 0o600;
const OTHERS = 0o077;

/** Writes a whole file at once: a reader sees the old text or the new one. */
export function writePrivate(file: string, text: string): void {
	writeFileSync(`${file}.new`, text, { mode: PRIVATE_FILE });
	chmodSync(`${file}.new`, PRIVATE_FILE);
	renameSync(`${file}.new`, file);
}

/** Creates an empty private file, or makes one private that is there. */
export function touchPrivate(file: string): void {
	closeSync(openSync(file, 'a', PRIVATE_FILE));
	chmodSync(file, PRIVATE_FILE);
}

/**
 * Refuses a state directory that another user has prepared: what it says is done as this user. It names processes to
 * end and programs to run, by kubeconfigs and by its sockets.
 * @throws Error that names the directory and the remedy.
 */
export function requireOwnState(directory: string): void {
	const why = distrustedItself(directory, trustedOwners());
	if (why === undefined) return;
	throw new Error(
		`Cannot use the cluster in ${directory}: ${why}; make it yours alone, or name another with --state`,
	);
}

/**
 * Makes the state directory, or closes one that an earlier version left open to others.
 * @param own file names by which a state directory is recognised
 * @throws Error for a directory of another user, a symbolic link, or one that holds other things and is open to others.
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
