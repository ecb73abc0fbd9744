/**
 * Programs attached to a cgroup v2. A program serves the sockets of the processes in its cgroup.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachmentStatus } from './device-links.ts';
import type { Native } from './ffi/library.ts';
import { adoptLink, attachCgroup, type BpfLink } from './link.ts';
import type { BpfObject } from './object.ts';
import { AttachType } from './uapi.ts';

/** Program name without `ml_`, and its attach type. */
const HOOKS = {
	connect4: AttachType.CGROUP_INET4_CONNECT,
	connect6: AttachType.CGROUP_INET6_CONNECT,
	sendmsg4: AttachType.CGROUP_UDP4_SENDMSG,
	sendmsg6: AttachType.CGROUP_UDP6_SENDMSG,
	recvmsg4: AttachType.CGROUP_UDP4_RECVMSG,
	recvmsg6: AttachType.CGROUP_UDP6_RECVMSG,
	getpeer4: AttachType.CGROUP_INET4_GETPEERNAME,
	getpeer6: AttachType.CGROUP_INET6_GETPEERNAME,
	release: AttachType.CGROUP_INET_SOCK_RELEASE,
} as const;

/** recvmsg and getpeername come first, so that no process ever sees a translated address. */
const ORDER = [
	'recvmsg4',
	'recvmsg6',
	'getpeer4',
	'getpeer6',
	'connect4',
	'connect6',
	'sendmsg4',
	'sendmsg6',
	'release',
] as const;

export type SocketHook = keyof typeof HOOKS;

/** Pin names in attach order. */
export const cgroupPins = (prefix = ''): string[] => ORDER.map((hook) => `link_${prefix}${hook}`);

export interface CgroupLinks {
	readonly status: readonly AttachmentStatus[];
	close(): void;
}

/** Pins: link_<prefix><hook>. @throws BpfError; Error ENOENT when the cgroup does not exist. */
export function attachCgroupPrograms(
	native: Native,
	object: BpfObject,
	cgroup: string,
	directory: string,
	prefix = '',
	without: readonly SocketHook[] = [],
): CgroupLinks {
	// the id of a cgroup is the inode number of its directory
	const id = statSync(cgroup, { bigint: true }).ino;
	const links: BpfLink[] = [];
	const close = () => {
		for (const link of links.splice(0)) link.close();
	};
	try {
		const hooks = ORDER.filter((hook) => !without.includes(hook));
		const status = hooks.map((hook): AttachmentStatus => {
			const program = object.program(`ml_${hook}`);
			const type = HOOKS[hook];
			const link = adoptLink(
				native,
				join(directory, `link_${prefix}${hook}`),
				program,
				(state) => state.kind === 'cgroup' && state.attachType === type && state.cgroupId === id,
				() => attachCgroup(native, program, cgroup, type),
			);
			links.push(link);
			return { program: program.name, target: cgroup, mode: 'cgroup' };
		});
		return { status, close };
	} catch (error) {
		close();
		throw error;
	}
}
