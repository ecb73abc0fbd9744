/**
 * Checks that no other user can change a directory: root adopts its files, loads them into the
 * kernel or deletes them. bpffs lets every user create directories in its root (mode 1777).
 */
import { chmodSync, lstatSync, mkdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';

const GROUP_AND_OTHERS = 0o022;
const OTHERS = 0o002;
const STICKY = 0o1000;

/** root, and the user of this process. */
export const trustedOwners = (): number[] => [0, process.geteuid?.() ?? 0];

/**
 * @param owners trusted user ids
 * @returns the reason why other users can change the path; undefined when they cannot, or it does
 * not exist.
 */
export function distrusted(path: string, owners: readonly number[] = trustedOwners()): string | undefined {
	return distrustedItself(path, owners) ?? distrustedAbove(path, owners);
}

/**
 * Like distrusted(), but without the parent directories.
 * @param owners trusted user ids
 */
export function distrustedItself(path: string, owners: readonly number[]): string | undefined {
	const found = lstatSync(withoutSlash(path), { throwIfNoEntry: false });
	if (found?.isSymbolicLink()) return `${path} is a symbolic link`;
	if (found && !owners.includes(found.uid)) return `${path} belongs to user ${found.uid}`;
	if (found && (found.mode & GROUP_AND_OTHERS) !== 0) return `${path} is writable by other users`;
	return undefined;
}

/** With a trailing slash the kernel follows a link, and lstat(2) describes its target. */
const withoutSlash = (path: string): string => path.replace(/(?<=[^/])\/+$/, '');

/**
 * The owner of a directory or a link on the path can replace it. In a sticky directory, only the
 * owner of an entry can.
 */
function distrustedAbove(path: string, owners: readonly number[]): string | undefined {
	for (const { at, found } of wayTo(dirname(path))) {
		if (!owners.includes(found.uid)) return `${at} belongs to user ${found.uid}`;
		// the mode of a link has no meaning
		if (found.isSymbolicLink()) continue;
		if ((found.mode & OTHERS) !== 0 && (found.mode & STICKY) === 0) return `${at} is writable by other users`;
	}
	return undefined;
}

/**
 * The directories and links that the kernel resolves on a path (path_resolution(7)), as far as they
 * exist.
 */
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

/** @throws Error ELOOP for circular links. */
function linkParts(link: string): string[] {
	statSync(link, { throwIfNoEntry: false });
	const target = readlinkSync(link);
	return [...(isAbsolute(target) ? ['/'] : []), ...target.split('/')];
}

/**
 * Creates a directory of mode 0700 and its parents, or accepts an existing one.
 * @param purpose ends the sentence "Cannot ..."
 * @throws Error with the path and the remedy when other users can change it.
 */
export function makeTrusted(path: string, purpose: string): void {
	requireTrusted(path, purpose);
	mkdirSync(path, { recursive: true, mode: 0o700 });
	requireTrusted(path, purpose);
}

/** @throws Error with the path and the remedy when other users can change it. */
export function requireTrusted(path: string, purpose: string): void {
	const why = distrusted(path);
	if (why !== undefined) throw distrustError(purpose, why);
}

export const distrustError = (purpose: string, why: string): Error =>
	new Error(
		`Cannot ${purpose}: ${why}, so that others could put their own files there; remove it, or make it root's alone`,
	);

/**
 * Removes the write permission of group and others if this user may. Leaves a directory of another
 * user unchanged.
 */
export function closeToOthers(path: string): void {
	const found = lstatSync(path, { throwIfNoEntry: false });
	if (!found?.isDirectory() || (found.mode & GROUP_AND_OTHERS) === 0) return;
	// its owner may replace it with a link meanwhile, and chmod follows links
	if (found.uid !== process.geteuid?.()) return;
	try {
		chmodSync(path, found.mode & ~GROUP_AND_OTHERS & 0o7777);
	} catch {
		// the next trust check reports the problem
	}
}
