/** One agent for one directory of pins. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { check } from './call.ts';
import type { Native } from './ffi/native.ts';
import { makeTrusted } from './trusted.ts';

export interface Lock {
	/** Lets the next agent in. It is let in as well when this process dies, however it dies. */
	release(): void;
}

const RETRY_MS = 50;
const PATIENCE_MS = 10_000;
/** <sys/file.h> */
const LOCK_EX = 2;
const LOCK_NB = 4;
const EWOULDBLOCK = 11;

/**
 * Makes the directory and the one above it (--pin-path) if need be, and waits a while for an agent that is about to end.
 * A lock of flock(2) on the directory itself is what keeps others out: only root can open it, the kernel takes the lock
 * back with the process, and no file stays behind.
 * @throws Error when another agent keeps it, when others can change the directory; the reason of the signal.
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

/** @returns the descriptor that holds the lock; undefined when another has it. */
function tryLock(native: Native, directory: string): number | undefined {
	const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
	try {
		const result = native.call.flock(descriptor, LOCK_EX | LOCK_NB);
		if (result !== -EWOULDBLOCK) check(result, 'lock', directory);
		// a cleanup may have removed the directory meanwhile: a lock of what is gone keeps no agent out
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
