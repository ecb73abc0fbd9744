/**
 * Requirements for nodes and pods as network namespaces with BPF. Reports the missing ones with a
 * remedy.
 */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { resolveProgram } from '../node/spawn.ts';
import { BPFFS, cgroup2Mount } from './mounts.ts';

/** Bit numbers from linux/capability.h. */
const CAPABILITIES = { CAP_NET_ADMIN: 12, CAP_SYS_ADMIN: 21 } as const;

const PROGRAMS = {
	ip: 'iproute2',
	nsenter: 'util-linux',
	unshare: 'util-linux',
	ethtool: 'ethtool',
	mount: 'mount',
} as const;

/** @returns the missing requirements; empty if there are none. */
export function missingRequirements(): string[] {
	const missing: string[] = [];
	const lacking = Object.entries(CAPABILITIES).flatMap(([name, bit]) => (hasCapability(bit) ? [] : [name]));
	if (lacking.length > 0) missing.push(`${lacking.join(' and ')} (run as root)`);
	if (!existsSync('/proc/self/ns/net')) missing.push('network namespaces (a kernel with CONFIG_NET_NS)');
	if (!existsSync(BPFFS)) missing.push('BPF (a kernel with CONFIG_BPF_SYSCALL and /sys mounted)');
	const cgroup = cgroup2Mount();
	if (cgroup === undefined)
		missing.push('cgroup v2 (mount it: mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2)');
	else if (lacking.length === 0 && !isWritable(cgroup))
		missing.push(`a cgroup v2 that can be written (mount -o remount,rw ${cgroup})`);
	for (const [program, owner] of Object.entries(PROGRAMS))
		if (resolveProgram(program) === undefined) missing.push(`${program} (install the package ${owner})`);
	return missing;
}

function isWritable(directory: string): boolean {
	try {
		accessSync(directory, constants.W_OK);
		return true;
	} catch {
		return false;
	}
}

function hasCapability(bit: number): boolean {
	const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
	return ((BigInt(`0x${effective}`) >> BigInt(bit)) & 1n) === 1n;
}
