import { constants } from 'node:os';

/** Kernel-internal error number that BPF system calls leak, in addition to those of errno(3). */
const ENOTSUPP = 524;

const NAMES: ReadonlyMap<number, string> = new Map([
	...Object.entries(constants.errno)
		.filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'EOPNOTSUPP')
		.map(([name, number]): [number, string] => [number, name]),
	[ENOTSUPP, 'ENOTSUPP'],
]);

/** Most likely cause of each code, with the remedy where there is one. */
const REASONS: Readonly<Record<string, string>> = {
	EPERM: 'not permitted; the process needs CAP_BPF and CAP_NET_ADMIN',
	E2BIG: 'no room is left',
	EEXIST: 'it exists',
	ENOENT: 'it does not exist',
	ENOTSUPP: 'this kernel has no such operation for it',
	EOPNOTSUPP: 'this kernel or device has no such operation',
	EINVAL: 'the kernel refused an argument',
	ENOMEM: 'the kernel has no memory for it',
	EBUSY: 'it is in use',
	ENOSPC: 'no space is left',
	ENODEV: 'there is no such device',
};

/** ENOENT for 2; E<number> for unknown numbers. */
export function errnoName(errno: number): string {
	return NAMES.get(errno) ?? `E${errno}`;
}

/** 2 for ENOENT; 0 for unknown names. */
export function errnoNumber(code: string): number {
	for (const [number, name] of NAMES) if (name === code) return number;
	return (constants.errno as Record<string, number>)[code] ?? 0;
}

export interface BpfErrorInit {
	/** A verb: update, load, attach. */
	readonly operation: string;
	/** Object of the operation: map frontends, program ml_xdp. */
	readonly object: string;
	/** Positive errno, or its name. */
	readonly errno: number | string;
	/** Entries of a batch that succeeded before the failure. */
	readonly count?: number;
	/** Replaces the usual reason for the code, with details and the remedy. */
	readonly detail?: string;
	readonly cause?: unknown;
}

/**
 * A failed BPF, libbpf or netlink call. `code` is stable and meant for callers; `message` for
 * people.
 */
export class BpfError extends Error {
	readonly operation: string;
	readonly object: string;
	readonly code: string;
	readonly errno: number;
	/** Batch calls: entries that succeeded before the failure. */
	readonly count: number | undefined;

	constructor(init: BpfErrorInit) {
		const code = typeof init.errno === 'number' ? errnoName(init.errno) : init.errno;
		const reason = init.detail ?? REASONS[code];
		const done = init.count === undefined ? '' : ` after ${init.count} entries`;
		super(`Cannot ${init.operation} ${init.object}${done}: ${code}${reason ? ` (${reason})` : ''}`, {
			cause: init.cause,
		});
		this.name = 'BpfError';
		this.operation = init.operation;
		this.object = init.object;
		this.code = code;
		this.errno = typeof init.errno === 'number' ? init.errno : errnoNumber(init.errno);
		this.count = init.count;
	}
}

/** Narrows a caught value to a BpfError, optionally with a given code. */
export function isBpfError(error: unknown, code?: string): error is BpfError {
	return error instanceof BpfError && (code === undefined || error.code === code);
}
