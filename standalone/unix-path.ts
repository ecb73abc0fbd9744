/** Unix sockets with long paths. The kernel's limit is 107 bytes (unix(7)). */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const LIMIT = 107;

export interface SocketPath extends Disposable {
	/** For bind(2) and connect(2) of this process, until disposal. */
	readonly path: string;
}

/** @returns the path itself or, if it is too long, one through a descriptor of its directory. */
export function socketPath(path: string): SocketPath {
	if (Buffer.byteLength(path) <= LIMIT) return { path, [Symbol.dispose]: () => {} };
	const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
	return { path: `/proc/self/fd/${fd}/${basename(path)}`, [Symbol.dispose]: () => closeSync(fd) };
}
