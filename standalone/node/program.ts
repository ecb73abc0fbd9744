/** Starts host programs in the place of a pod, with pipes or a terminal. */
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { openPty } from '../../agent/bpf/pty.ts';
import type { Ended, RemoteProcess } from '../api/pod-access.ts';
import { STANDARD_PATH } from './env.ts';
import { type Place, signalGroup, spawnPlaced } from './spawn.ts';

/** The parameters of a program, with all variables expanded. */
export interface Launch {
	readonly argv: readonly string[];
	readonly env: Readonly<Record<string, string>>;
	readonly cwd: string;
}

export interface Streams {
	readonly stdin: boolean;
	readonly tty: boolean;
}

export interface Program extends RemoteProcess {
	/** Sends a signal to the process and its descendants in the process group. */
	signal(signal: NodeJS.Signals): void;
}

/** Exit status of a program that cannot be started, as in a shell. */
const NOT_STARTED = 127;

export function startProgram(place: Place, launch: Launch, streams: Streams): Program {
	// spawn() reports a missing directory as a missing program
	const cwd = existsSync(launch.cwd) ? launch.cwd : '/';
	const pty = streams.tty ? openPty() : undefined;
	const child = spawnPlaced(place, pathed(launch), {
		env: { ...launch.env, PATH: STANDARD_PATH, ...(pty && { TERM: launch.env['TERM'] ?? 'xterm' }) },
		cwd,
		stdio: pty ? 'ignore' : [streams.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
		...(pty && { terminal: pty.path }),
	});
	const ended = new Promise<Ended>((resolve) => {
		child.once('error', () => resolve({ exitCode: NOT_STARTED }));
		child.once('exit', (code, signal) => resolve(endedBy(code, signal)));
	});
	const stdin: Writable | undefined = streams.stdin ? (pty?.stream ?? child.stdin ?? undefined) : undefined;
	const stdout: Readable = pty?.stream ?? child.stdout!;
	const stderr = pty ? undefined : child.stderr!;
	stdin?.on('error', () => {}); // the process has closed its stdin
	stdout.on('error', () => {}); // EIO: the last process has closed the terminal
	// The terminal stays writable as long as it exists, so only wait for its read side
	const read = (stream: Readable) => finished(stream, { writable: false }).catch(() => {});
	return {
		stdin,
		stdout,
		stderr,
		ended,
		drained: Promise.all([read(stdout), ...(stderr ? [read(stderr)] : [])]).then(() => {}),
		resize: (columns, rows) => pty?.resize(columns, rows),
		signal: (signal) => signalGroup(child, signal),
		hangUp() {
			signalGroup(child, 'SIGHUP');
			pty?.stream.destroy();
		},
	};
}

/** Resolves the placing commands with the standard PATH, even if the program has another. */
function pathed({ argv, env }: Launch): readonly string[] {
	const path = env['PATH'] ?? STANDARD_PATH;
	return path === STANDARD_PATH ? argv : ['/usr/bin/env', `PATH=${path}`, ...argv];
}

function endedBy(code: number | null, signal: NodeJS.Signals | null): Ended {
	if (code !== null) return { exitCode: code };
	const number = signal === null ? 0 : constants.signals[signal];
	return { exitCode: 128 + number, signal: number };
}
