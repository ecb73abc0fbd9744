/**
 * Starts processes of nodes and pods in their network namespace and cgroup. Both apply from the
 * program's first instruction.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { netnsPath } from '../../agent/bpf/netns.ts';

export interface Place {
	/** Name of the network namespace. */
	readonly netns: string;
	/** The cgroup v2 directory that the process joins. Undefined keeps this process's cgroup. */
	readonly cgroup: string | undefined;
	/** Undefined: the process sees the machine's files and host name. */
	readonly view?: PodView;
}

/** The host name and files that a pod's processes see instead of the machine's. */
export interface PodView {
	readonly hostname: string;
	/** Files or directories, each with the path of its mount point. */
	readonly mounts: readonly (readonly [source: string, target: string])[];
}

/**
 * The shell moves itself ("0") and then executes the program, so the program is a single process.
 * The kernel assigns a socket to a cgroup at its creation, so the program's sockets belong to this
 * cgroup. `nsenter --net` keeps /sys. `ip netns exec` would mount a new one without bpffs and
 * cgroup v2.
 */
const JOIN = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"';

/**
 * Each process has its own mount and UTS namespaces, with the same files. They end with the
 * process, so no mount is left behind. Mounts in a namespace of unshare(1) do not propagate
 * outside.
 */
const LOOK = [
	'printf %s "$1" > /proc/sys/kernel/hostname && shift || exit 126',
	// a directory may need a mount point on the machine; a read-only file system makes this fail
	'while [ "$1" != -- ]; do',
	'if [ -d "$1" ]; then (umask 022; mkdir -p "$2"); fi',
	'mount --bind "$1" "$2" && shift 2 || exit 126; done',
	'shift; exec "$@"',
].join('\n');

/** A session leader gets the first terminal that it opens as its controlling terminal (tty(4)). */
const ON_TERMINAL = 'exec 0<>"$1" 1>&0 2>&0 && shift && exec "$@"';

/** @param terminal path of the pty's far end. The process must lead a session. */
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
	/** Path of a pty's far end, which becomes the process's terminal and standard streams. */
	readonly terminal?: string;
}

/** Starts a process that leads its own process group, so that signals reach its descendants too. */
export function spawnPlaced(place: Place, argv: readonly string[], options: SpawnOptions): ChildProcess {
	const [program, args] = placedCommand(place, argv, options.terminal);
	return spawn(program, args, {
		stdio: options.stdio,
		detached: true,
		...(options.env ? { env: { ...options.env } } : {}),
		...(options.cwd ? { cwd: options.cwd } : {}),
	});
}

/** Signals the child's process group. A group that has ended is no error. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
	if (child.pid === undefined) return;
	try {
		process.kill(-child.pid, signal);
	} catch {
		// ESRCH: already ended
	}
}

const SEARCH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The absolute path of an executable file on this machine; undefined if there is none. */
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
