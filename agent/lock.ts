import { closeSync, mkdirSync, openSync } from 'node:fs';
import type { Native } from './bpf/ffi/native.ts';

/** flock(2) by architecture: the C library's own entry is not in the binding's table. */
const SYS_FLOCK: Readonly<Partial<Record<NodeJS.Architecture, bigint>>> = { x64: 73n, arm64: 32n };
const LOCK_EX_NB = 2n | 4n;
const EAGAIN = 11;

/** Another process holds the directory. */
export class LockedError extends Error {
	override readonly name = 'LockedError';
}

/**
 * Holds a directory for this process: two agents must never write the same maps. The kernel gives it back when the
 * process ends, however it ends.
 *
 * @throws LockedError when another process holds it
 */
export function lockDirectory(native: Native, directory: string): Disposable {
	mkdirSync(directory, { recursive: true, mode: 0o700 });
	const number = SYS_FLOCK[process.arch];
	if (number === undefined) throw new Error(`Cannot lock ${directory}: unknown architecture ${process.arch}`);
	const fd = openSync(directory, 'r');
	const result = Number(native.call.syscall(number, BigInt(fd), LOCK_EX_NB, 0n, 0n, 0n, 0n));
	if (result < 0) {
		closeSync(fd);
		if (result === -EAGAIN) {
			throw new LockedError(`Another agent holds ${directory}: stop it, or give this one another --pin-path`);
		}
		throw new Error(`Cannot lock ${directory}: flock() failed with errno ${-result}`);
	}
	return { [Symbol.dispose]: () => closeSync(fd) };
}
