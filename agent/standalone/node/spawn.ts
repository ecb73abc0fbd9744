/** Processes of nodes and pods: in a network namespace and in the node's cgroup from their first instruction on. */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { netnsPath } from '../../bpf/netns.ts';

export interface Place {
	/** Name of the network namespace. */
	readonly netns: string;
	/** Directory of the cgroup v2 that the process joins; undefined leaves it where this process is. */
	readonly cgroup: string | undefined;
}

/**
 * The shell moves itself ("0") and is replaced: one process, and sockets of the program belong to the cgroup, which
 * the kernel notes when a socket is made. `nsenter --net` keeps /sys as it is, `ip netns exec` would mount a new one
 * that hides bpffs and cgroup v2.
 */
const JOIN = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';

export function placedCommand(place: Place, argv: readonly string[]): [program: string, args: string[]] {
	const enter = [`--net=${netnsPath(place.netns)}`, '--', ...argv];
	if (place.cgroup === undefined) return ['nsenter', enter];
	return ['/bin/sh', ['-c', JOIN, 'sh', place.cgroup, 'nsenter', ...enter]];
}

export interface SpawnOptions {
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
	readonly stdio: StdioOptions;
}

/** The child leads a process group of its own, for signals to it and to what it starts. */
export function spawnPlaced(place: Place, argv: readonly string[], options: SpawnOptions): ChildProcess {
	const [program, args] = placedCommand(place, argv);
	return spawn(program, args, {
		stdio: options.stdio,
		detached: true,
		...(options.env ? { env: { ...options.env } } : {}),
		...(options.cwd ? { cwd: options.cwd } : {}),
	});
}

/** Signals the child's process group. A group that is gone is no error. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
	if (child.pid === undefined) return;
	try {
		process.kill(-child.pid, signal);
	} catch {
		// ESRCH: it ended
	}
}

const SEARCH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Absolute path of an executable file of this machine, or undefined. */
export function resolveProgram(program: string): string | undefined {
	const candidates = isAbsolute(program)
		? [program]
		: program.includes('/')
			? [join('/', program)]
			: SEARCH.map((directory) => join(directory, program));
	return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
	try {
		accessSync(path, constants.X_OK);
		return statSync(path).isFile();
	} catch {
		return false;
	}
}
