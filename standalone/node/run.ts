/** Runs of containers: of host programs, and of containers in the built-in server. */
import type { Ended } from '../api/pod-access.ts';
import type { Run } from './container.ts';
import type { LogFile } from './log-file.ts';
import type { Program } from './program.ts';

const SIGKILL = 9;
/**
 * Time to drain the output. A process that left the program's group may keep the output open as
 * long as it runs.
 */
const DRAIN_MS = 500;

/** @param preStop resolves when TERM may be sent. The grace period includes it. */
export function programRun(program: Program, log: LogFile, preStop: () => Promise<void>): Run {
	program.stdout.on('data', (chunk: Buffer) => log.write('stdout', chunk));
	program.stderr?.on('data', (chunk: Buffer) => log.write('stderr', chunk));
	const ended = program.ended.then(async (how) => {
		program.signal('SIGKILL'); // kill the other processes in the program's group
		await withLimit(program.drained, DRAIN_MS);
		log.close();
		return how;
	});
	const terminate = () => program.signal('SIGTERM');
	return { ended, stop: gracefully(ended, preStop, terminate, () => program.signal('SIGKILL')) };
}

/**
 * A run without a process. The built-in server serves its ports until the run has ended.
 * @param lingerMs time from TERM to the end. Connections can finish while other nodes remove the
 * endpoint.
 */
export function builtInRun(lingerMs: number, preStop: () => Promise<void>): Run {
	const { promise, resolve } = Promise.withResolvers<Ended>();
	const terminate = () => {
		const timer = setTimeout(() => resolve({ exitCode: 0 }), lingerMs);
		void promise.then(() => clearTimeout(timer));
	};
	const kill = () => resolve({ exitCode: 128 + SIGKILL, signal: SIGKILL });
	return { ended: promise, stop: gracefully(promise, preStop, terminate, kill) };
}

function gracefully(
	ended: Promise<unknown>,
	preStop: () => Promise<void>,
	terminate: () => void,
	kill: () => void,
): Run['stop'] {
	let asked = false;
	return (graceMs) => {
		if (graceMs <= 0) kill();
		if (asked) return;
		asked = true;
		const timer = setTimeout(kill, graceMs);
		void ended.then(() => clearTimeout(timer));
		void Promise.race([preStop(), ended]).then(terminate);
	};
}

async function withLimit(promise: Promise<void>, ms: number): Promise<void> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<void>((resolve) => {
		timer = setTimeout(resolve, ms);
	});
	await Promise.race([promise, late]);
	clearTimeout(timer);
}
