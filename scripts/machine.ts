/**
 * Requirements of tests on this machine. Each function returns why it is not met, as text for a
 * person, or undefined.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { delimiter, join } from 'node:path';
import { ensureBpffs, releaseBpffs } from '../standalone/cluster/mounts.ts';

export type Need = () => string | undefined;

const CAPABILITIES = { NET_ADMIN: 12, SYS_ADMIN: 21, PERFMON: 38, BPF: 39 } as const;
const OLDEST_KERNEL = [5, 10] as const;

/** Whether a program is in PATH or in a directory of system tools. */
export function hasCommand(name: string): boolean {
	const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
	return path.some((directory) => {
		try {
			accessSync(join(directory, name), constants.X_OK);
			return true;
		} catch {
			return false;
		}
	});
}

export const command =
	(name: string): Need =>
	() =>
		hasCommand(name) ? undefined : `${name} is not installed`;

export const root: Need = () => (process.getuid?.() === 0 ? undefined : 'needs root');

export const bpf: Need = () => {
	const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(read('/proc/self/status'))?.[1] ?? '0'}`);
	const has = (name: keyof typeof CAPABILITIES) => (effective >> BigInt(CAPABILITIES[name])) & 1n;
	if (!has('SYS_ADMIN') && !(has('BPF') && has('NET_ADMIN'))) return 'needs CAP_BPF and CAP_NET_ADMIN';
	const [major = 0, minor = 0] = release().split('.').map(Number);
	if (major < OLDEST_KERNEL[0] || (major === OLDEST_KERNEL[0] && minor < OLDEST_KERNEL[1]))
		return `needs Linux ${OLDEST_KERNEL.join('.')}, this is ${release()}`;
	return mounted('bpf') ? undefined : mountBpffs();
};

/** Mounts bpffs until this process exits: a machine may not have it mounted yet. */
function mountBpffs(): string | undefined {
	try {
		if (ensureBpffs()) process.once('exit', releaseBpffs);
		return undefined;
	} catch (error) {
		return `needs bpffs: mount -t bpf -o mode=700 bpf /sys/fs/bpf (${error instanceof Error ? error.message : error})`;
	}
}

export const cgroup2: Need = () =>
	mounted('cgroup2') ? undefined : 'needs cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified';

/** Whether the mount table has a file system of this type. */
function mounted(type: string): boolean {
	return new RegExp(` - ${type} `).test(read('/proc/self/mountinfo'));
}

function read(path: string): string {
	try {
		return readFileSync(path, 'utf8');
	} catch {
		return '';
	}
}
