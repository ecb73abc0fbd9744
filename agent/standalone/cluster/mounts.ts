/** The file systems that BPF needs: where cgroup v2 is mounted, whether bpffs is. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export const BPFFS = '/sys/fs/bpf';

export interface Mount {
	readonly point: string;
	readonly type: string;
}

/** Parses the text of /proc/self/mountinfo (proc_pid_mountinfo(5)); octal escapes stand for blanks. */
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

/** Directory of the cgroup v2 hierarchy, which is beside v1 on hybrid machines. */
export function cgroup2Mount(): string | undefined {
	return mounts().find(({ type }) => type === 'cgroup2')?.point;
}

/** The default mode is 1777: every user could make directories there. */
const MOUNT = ['-t', 'bpf', '-o', 'mode=0700', 'bpf'];

/**
 * Mounts bpffs for root alone, unless it is mounted.
 * @returns whether it was mounted here. @throws Error with what mount(8) said.
 */
export function ensureBpffs(): boolean {
	if (mounts().some(({ point, type }) => type === 'bpf' && point === BPFFS)) return false;
	const { status, stderr } = spawnSync('mount', [...MOUNT, BPFFS], { encoding: 'utf8' });
	if (status === 0) return true;
	throw new Error(`Cannot mount bpffs on ${BPFFS}: ${stderr.trim() || `status ${status}`}`);
}

/** Files that bpffs has from the start (kernel/bpf/preload). */
const OWN_FILES = ['maps.debug', 'progs.debug'];

/** Unmounts bpffs unless it holds pins of others. @returns whether it is unmounted. */
export function releaseBpffs(): boolean {
	if (!existsSync(BPFFS)) return false;
	if (readdirSync(BPFFS).some((name) => !OWN_FILES.includes(name))) return false;
	return spawnSync('umount', [BPFFS]).status === 0;
}
