/** Mount points of the file systems that BPF needs: cgroup v2 and bpffs. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export const BPFFS = '/sys/fs/bpf';

export interface Mount {
	readonly point: string;
	readonly type: string;
}

/** Parses /proc/self/mountinfo (proc_pid_mountinfo(5)). Octal escapes represent spaces. */
export function parseMounts(text: string): Mount[] {
	return text.split('\n').flatMap((line) => {
		const [left = '', right = ''] = line.split(' - ');
		const point = left.split(' ')[4];
		const type = right.split(' ')[0];
		if (!point || !type) return [];
		return [
			{
				point: point.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
				type,
			},
		];
	});
}

function mounts(): Mount[] {
	return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Mount point of cgroup v2. Hybrid machines also mount v1. */
export function cgroup2Mount(): string | undefined {
	return mounts().find(({ type }) => type === 'cgroup2')?.point;
}

/** With the default mode 1777, every user could create directories there. */
const MOUNT = ['-t', 'bpf', '-o', 'mode=0700', 'bpf'];

/**
 * Mounts bpffs for root only, unless it is already mounted.
 * @returns whether this call mounted it.
 * @throws Error with the message of mount(8).
 */
export function ensureBpffs(): boolean {
	if (mounts().some(({ point, type }) => type === 'bpf' && point === BPFFS)) return false;
	const { status, stderr } = spawnSync('mount', [...MOUNT, BPFFS], { encoding: 'utf8' });
	if (status === 0) return true;
	throw new Error(`Cannot mount bpffs on ${BPFFS}: ${stderr.trim() || `status ${status}`}`);
}

/** Files that the kernel creates in bpffs (kernel/bpf/preload). */
const OWN_FILES = ['maps.debug', 'progs.debug'];

/** Unmounts bpffs unless it contains other pins. @returns whether it is unmounted. */
export function releaseBpffs(): boolean {
	if (!existsSync(BPFFS)) return false;
	if (readdirSync(BPFFS).some((name) => !OWN_FILES.includes(name))) return false;
	return spawnSync('umount', [BPFFS]).status === 0;
}
