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
	/** Undefined: the machine's files and name. */
	readonly view?: PodView;
}

/** What differs for a pod's processes from what the machine's own see. */
export interface PodView {
	readonly hostname: string;
	/** Files or directories, each with the path at which it is seen. */
	readonly mounts: readonly (readonly [source: string, target: string])[];
}

/**
 * The shell moves itself ("0") and is replaced: one process, and sockets of the program belong to the cgroup, which
 * the kernel notes when a socket is made. `nsenter --net` keeps /sys as it is, `ip netns exec` would mount a new one
 * that hides bpffs and cgroup v2.
 */
const JOIN = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';

/**
 * Each process has mount and UTS namespaces of its own, with the same files in them: they go with the process, and
 * nothing holds a mount that could be left behind. Mounts in a namespace made by unshare(1) do not get out.
 */
const LOOK = [
	'printf %s "$1" > /proc/sys/kernel/hostname && shift || exit 126',
	// a directory may have no place on the machine yet; one in a file system that takes none cannot be shown
	'while [ "$1" != -- ]; do',
	'if [ -d "$1" ]; then (umask 022; mkdir -p "$2"); fi',
	'mount --bind "$1" "$2" && shift 2 || exit 126; done',
	'shift; exec "$@"',
].join('\n');

/** The leader of a session gets the first terminal that it opens as its controlling one (tty(4)). */
const ON_TERMINAL = 'exec 0<>"$1" 1>&0 2>&0 && shift && exec "$@"';

/** @param terminal path of a pty's far end, for a process that is to lead a session */
export function placedCommand(
	place: Place,
	argv: readonly string[],
	terminal?: string,
): [program: string, args: string[]] {
	const { view, cgroup } = place;
	let command = [...argv];
	if (view) {
		const looks = [view.hostname, ...view.mounts.flat(), '--'];
		command = ['unshare', '--mount', '--uts', '--', '/bin/sh', '-c', LOOK, 'sh', ...looks, ...command];
	}
	command = ['nsenter', `--net=${netnsPath(place.netns)}`, '--', ...command];
	if (cgroup !== undefined) command = ['/bin/sh', '-c', JOIN, 'sh', cgroup, ...command];
	if (terminal !== undefined) command = ['/bin/sh', '-c', ON_TERMINAL, 'sh', terminal, ...command];
	return [command[0]!, command.slice(1)];
}

export interface SpawnOptions {
	readonly env?: Readonly<Record<string, string>>;
	readonly cwd?: string;
	readonly stdio: StdioOptions;
	/** Path of a pty's far end, to be the process's terminal and its standard streams. */
	readonly terminal?: string;
}

/** The child leads a process group of its own, for signals to it and to what it starts. */
export function spawnPlaced(place: Place, argv: readonly string[], options: SpawnOptions): ChildProcess {
	const [program, args] = placedCommand(place, argv, options.terminal);
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
