/** Mounts bpffs, without libbpf and without a program of the system. */
import { getSystemErrorName } from 'node:util';
import { koffiDriver } from './ffi/koffi.ts';
import { SIGNATURES, SONAMES } from './ffi/signatures.ts';
import { isOnBpffs } from './mounts.ts';

/** MS_NOSUID | MS_NODEV | MS_NOEXEC of <sys/mount.h> */
const FLAGS = 2 | 4 | 8;

/**
 * Mounts bpffs at a directory that has none.
 * @returns whether it was mounted; false: it was there
 * @throws Error with the directory and the remedy when the mount fails
 */
export function mountBpffs(path: string): boolean {
	if (isOnBpffs(path)) return false;
	const driver = koffiDriver();
	const mount = driver.symbol(SONAMES.libc, 'mount', SIGNATURES.mount);
	if (!mount) throw new Error(`Cannot use ${SONAMES.libc}: it lacks mount`);
	const [source, target, type, data] = ['bpf', path, 'bpf', 'mode=700'].map((text) =>
		Buffer.from(`${text}\0`),
	);
	if (Number(mount([source!, target!, type!, FLAGS, data!])) === 0) return true;
	const reason = getSystemErrorName(-driver.errno());
	throw new Error(
		`Cannot mount bpffs at ${path}: ${reason}. The directory must exist, and the container needs CAP_SYS_ADMIN`,
	);
}
