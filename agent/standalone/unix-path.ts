/** Unix sockets in directories with long paths: the kernel takes 107 bytes (unix(7)). */
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';

const LIMIT = 107;

export interface SocketPath extends Disposable {
	/** For bind(2) and connect(2) of this process; valid until it is disposed of. */
	readonly path: string;
}

/** @returns the path itself, or one through a descriptor of its directory where it is too long. */
export function socketPath(path: string): SocketPath {
	if (Buffer.byteLength(path) <= LIMIT) return { path, [Symbol.dispose]: () => {} };
	const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
	return { path: `/proc/self/fd/${fd}/${basename(path)}`, [Symbol.dispose]: () => closeSync(fd) };
}
