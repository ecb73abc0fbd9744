/** Allows one agent per pin directory. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from './call.ts';
import type { Native } from './ffi/library.ts';
import { makeTrusted } from './trusted.ts';

export interface Lock {
	/** Releases the lock for the next agent. The kernel also releases it when this process dies. */
	release(): void;
}

const RETRY_MS = 50;
const PATIENCE_MS = 10_000;
/** <sys/file.h> */
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Creates the directory and its parent (--pin-path) if necessary, and waits a while for an agent
 * that is about to exit. Locks the directory itself with flock(2): only root can open it, the
 * kernel releases the lock with the process, and no lock file stays behind.
 * @throws Error when another agent holds the lock, when other users can write to the directory; the
 * reason of the signal.
 */
export async function lockPins(
	native: Native,
	directory: string,
	signal?: AbortSignal,
	patienceMs = PATIENCE_MS,
): Promise<Lock> {
	const deadline = performance.now() + patienceMs;
	for (;;) {
		for (const path of [dirname(directory), directory]) makeTrusted(path, `keep pins in ${directory}`);
		const descriptor = tryLock(native, directory);
		if (descriptor !== undefined) return { release: once(() => closeSync(descriptor)) };
		if (performance.now() >= deadline)
			throw new Error(`Cannot use ${directory}: another agent does; stop it, or choose another --pin-path`);
		await sleep(RETRY_MS, undefined, { signal });
	}
}

/** @returns the descriptor that holds the lock; undefined when another agent holds it. */
function tryLock(native: Native, directory: string): number | undefined {
	const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
	try {
		const result = native.call.flock(descriptor, LOCK_EX | LOCK_NB);
		if (result !== -EWOULDBLOCK) check(result, 'lock', directory);
		// a cleanup may have removed the directory meanwhile; a lock on a removed one excludes no agent
		if (result >= 0 && isStill(directory, descriptor)) return descriptor;
	} catch (error) {
		closeSync(descriptor);
		throw error;
	}
	closeSync(descriptor);
	return undefined;
}

function isStill(path: string, descriptor: number): boolean {
	return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(descriptor).ino;
}

function once(action: () => void): () => void {
	let done = false;
	return () => {
		if (!done) action();
		done = true;
	};
}
