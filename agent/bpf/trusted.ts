/**
 * Directories that no other user can change. What lies in them is adopted, loaded into the kernel, or deleted by root,
 * and bpffs lets every user make directories in its root (mode 1777).
 */
import { chmodSync, lstatSync, mkdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';

const GROUP_AND_OTHERS = 0o022;
const OTHERS = 0o002;
const STICKY = 0o1000;

/** root, and the user that this process runs as. */
export const trustedOwners = (): number[] => [0, process.geteuid?.() ?? 0];

/**
 * @param owners user ids that are trusted
 * @returns in words why others can change what lies there; undefined when they cannot, or nothing is there.
 */
export function distrusted(path: string, owners: readonly number[] = trustedOwners()): string | undefined {
	return distrustedItself(path, owners) ?? distrustedAbove(path, owners);
}

/**
 * As distrusted(), without the directories above it.
 * @param owners user ids that are trusted
 */
export function distrustedItself(path: string, owners: readonly number[]): string | undefined {
	const found = lstatSync(withoutSlash(path), { throwIfNoEntry: false });
	if (found?.isSymbolicLink()) return `${path} is a symbolic link`;
	if (found && !owners.includes(found.uid)) return `${path} belongs to user ${found.uid}`;
	if (found && (found.mode & GROUP_AND_OTHERS) !== 0) return `${path} is writable by other users`;
	return undefined;
}

/** With a slash behind it the kernel follows a link, and lstat(2) tells of what it leads to. */
const withoutSlash = (path: string): string => path.replace(/(?<=[^/])\/+$/, '');

/**
 * Whoever owns a directory or a link on the way can put another in its place; in a sticky directory only the owner of
 * the entry can.
 */
function distrustedAbove(path: string, owners: readonly number[]): string | undefined {
	for (const { at, found } of wayTo(dirname(path))) {
		if (!owners.includes(found.uid)) return `${at} belongs to user ${found.uid}`;
		// the mode of a link says nothing
		if (found.isSymbolicLink()) continue;
		if ((found.mode & OTHERS) !== 0 && (found.mode & STICKY) === 0) return `${at} is writable by other users`;
	}
	return undefined;
}

/** The directories and links that the kernel goes through to a path (path_resolution(7)), as far as they exist. */
function* wayTo(path: string): Generator<{ readonly at: string; readonly found: Stats }> {
	const rest = ['/', ...(isAbsolute(path) ? path : `${process.cwd()}/${path}`).split('/')];
	let real = '';
	for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
		const at = resolve(real, name);
		const found = lstatSync(at, { throwIfNoEntry: false });
		if (!found) return;
		yield { at, found };
		if (!found.isSymbolicLink()) real = at;
		else rest.unshift(...linkParts(at));
	}
}

/** @throws Error ELOOP for links that lead nowhere but to each other. */
function linkParts(link: string): string[] {
	statSync(link, { throwIfNoEntry: false });
	const target = readlinkSync(link);
	return [...(isAbsolute(target) ? ['/'] : []), ...target.split('/')];
}

/**
 * Makes a directory of mode 0700 with those above it, or takes the one that is there.
 * @param purpose ends the sentence "Cannot ..."
 * @throws Error for one that others can change; it names the path and the remedy.
 */
export function makeTrusted(path: string, purpose: string): void {
	requireTrusted(path, purpose);
	mkdirSync(path, { recursive: true, mode: 0o700 });
	requireTrusted(path, purpose);
}

/** @throws Error for a path that others can change; it names the path and the remedy. */
export function requireTrusted(path: string, purpose: string): void {
	const why = distrusted(path);
	if (why !== undefined) throw distrustError(purpose, why);
}

export const distrustError = (purpose: string, why: string): Error =>
	new Error(
		`Cannot ${purpose}: ${why}, so that others could put their own files there; remove it, or make it root's alone`,
	);

/** Takes the right to write from others, where this user may. A directory of another user stays as it is. */
export function closeToOthers(path: string): void {
	const found = lstatSync(path, { throwIfNoEntry: false });
	if (!found?.isDirectory() || (found.mode & GROUP_AND_OTHERS) === 0) return;
	// its owner may put a link in its place meanwhile, and chmod follows links
	if (found.uid !== process.geteuid?.()) return;
	try {
		chmodSync(path, found.mode & ~GROUP_AND_OTHERS & 0o7777);
	} catch {
		// whoever asks next whether it is trusted gets the answer
	}
}
