/** Finds the mounts of kernel file systems without assuming a path (cgroup v2 may be beside v1). */
import { readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** BPF_FS_MAGIC and CGROUP2_SUPER_MAGIC of <linux/magic.h>. */
const BPF_FS = 0xcafe4a11;
const CGROUP2_FS = 0x63677270;

/**
 * Mount points of a file system type, in the order of /proc/self/mountinfo (proc_pid_mountinfo(5)).
 */
export function mountPoints(mountinfo: string, type: string): string[] {
	return mountinfo.split('\n').flatMap((line) => {
		const [before, after] = line.split(' - ') as [string, string | undefined];
		if (after?.split(' ', 1)[0] !== type) return [];
		const path = before.split(' ')[4];
		// space, tab, newline and backslash are octal escapes
		return path
			? [path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))]
			: [];
	});
}

/** The cgroup v2 mount. @returns undefined when there is none. */
export function cgroup2Mount(): string | undefined {
	return mountPoints(readFileSync('/proc/self/mountinfo', 'utf8'), 'cgroup2')[0];
}

/** Whether the directory, or its nearest existing parent, is on bpffs. */
export function isOnBpffs(path: string): boolean {
	return typeOf(path) === BPF_FS;
}

export function isOnCgroup2(path: string): boolean {
	return typeOf(path) === CGROUP2_FS;
}

/** statfs.f_type of the nearest existing path. */
function typeOf(path: string): number {
	try {
		return statfsSync(path).type >>> 0;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === '/') return 0;
		return typeOf(dirname(path));
	}
}
