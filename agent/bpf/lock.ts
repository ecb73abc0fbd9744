/** One agent for one directory of pins. */
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Lock {
	/** Lets the next agent in. It is let in as well when this process dies, however it dies. */
	release(): void;
}

const RETRY_MS = 50;
const PATIENCE_MS = 10_000;

/**
 * Waits a while for an agent that is about to end. An abstract socket (unix(7)) is the lock: the kernel takes its name
 * back with the process, and no file stays behind. @throws Error when another agent keeps it; the reason of the signal.
 */
export async function lockPins(
	directory: string,
	signal?: AbortSignal,
	patienceMs = PATIENCE_MS,
): Promise<Lock> {
	const deadline = performance.now() + patienceMs;
	for (;;) {
		const server = await listen(`\0maglane:${directory}`);
		if (server) return { release: () => server.close() };
		if (performance.now() >= deadline)
			throw new Error(`Cannot use ${directory}: another agent does; stop it, or choose another --pin-path`);
		await sleep(RETRY_MS, undefined, { signal });
	}
}

/** @returns undefined when the name is taken. */
function listen(path: string): Promise<Server | undefined> {
	return new Promise((done, fail) => {
		const server = createServer((socket) => socket.destroy());
		server.once('error', (error: NodeJS.ErrnoException) =>
			error.code === 'EADDRINUSE' ? done(undefined) : fail(error),
		);
		server.listen({ path }, () => {
			server.unref();
			done(server);
		});
	});
}
