/** Programs on a cgroup v2: which sockets they serve is decided by the cgroup that a process is in. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachmentStatus } from './device-links.ts';
import type { Native } from './ffi/native.ts';
import { adoptLink, attachCgroup, type BpfLink } from './link.ts';
import type { BpfObject } from './object.ts';
import { AttachType } from './uapi.ts';

/** Name of the program without ml_, and where it goes. */
const HOOKS = {
	connect4: AttachType.CGROUP_INET4_CONNECT,
	connect6: AttachType.CGROUP_INET6_CONNECT,
	sendmsg4: AttachType.CGROUP_UDP4_SENDMSG,
	sendmsg6: AttachType.CGROUP_UDP6_SENDMSG,
	recvmsg4: AttachType.CGROUP_UDP4_RECVMSG,
	recvmsg6: AttachType.CGROUP_UDP6_RECVMSG,
	getpeer4: AttachType.CGROUP_INET4_GETPEERNAME,
	getpeer6: AttachType.CGROUP_INET6_GETPEERNAME,
} as const;

/** recvmsg and getpeername first: a translated address is never shown to a program. */
const ORDER = [
	'recvmsg4',
	'recvmsg6',
	'getpeer4',
	'getpeer6',
	'connect4',
	'connect6',
	'sendmsg4',
	'sendmsg6',
] as const;

/** Names of the pins, in the order of attaching. */
export const cgroupPins = (prefix = ''): string[] => ORDER.map((hook) => `link_${prefix}${hook}`);

export interface CgroupLinks {
	readonly status: readonly AttachmentStatus[];
	close(): void;
}

/** Pins: link_<prefix><hook>. @throws BpfError; Error ENOENT when there is no such cgroup. */
export function attachCgroupPrograms(
	native: Native,
	object: BpfObject,
	cgroup: string,
	directory: string,
	prefix = '',
): CgroupLinks {
	// the number of a cgroup is that of its directory
	const id = statSync(cgroup, { bigint: true }).ino;
	const links: BpfLink[] = [];
	const close = () => {
		for (const link of links.splice(0)) link.close();
	};
	try {
		const status = ORDER.map((hook): AttachmentStatus => {
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
