/** Starts peer.ts inside a namespace and optionally a cgroup, and exchanges commands with it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Commands } from './commands.ts';

interface Pending {
	resolve(value: never): void;
	reject(error: Error): void;
}

/** An error of the peer. `code` is the name of the errno. */
export class PeerError extends Error {
	readonly code: string;

	constructor(message: string, code: string) {
		super(message);
		this.name = 'PeerError';
		this.code = code;
	}
}

export class Peer {
	readonly #child: ChildProcess;
	readonly #pending = new Map<number, Pending>();
	readonly #exited: Promise<void>;
	#next = 1;

	/** `netns` is a path such as /run/netns/x. `cgroup` is a directory of cgroup v2. */
	constructor(netns: string, cgroup?: string) {
		const script = `${cgroup ? `echo $$ >${cgroup}/cgroup.procs && ` : ''}exec nsenter --net="$0" "$@"`;
		const peer = fileURLToPath(new URL('./peer.ts', import.meta.url));
		this.#child = spawn('sh', ['-c', script, netns, process.execPath, peer], {
			stdio: ['pipe', 'pipe', 'inherit'],
		});
		this.#exited = new Promise((resolve) => {
			this.#child.once('exit', () => {
				for (const { reject } of this.#pending.values()) reject(new PeerError('The peer is gone', 'EPIPE'));
				resolve();
			});
		});
		createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#answer(line));
	}

	#answer(line: string): void {
		const { id, ok, error, code } = JSON.parse(line) as {
			id: number;
			ok?: never;
			error?: string;
			code?: string;
		};
		const pending = this.#pending.get(id)!;
		this.#pending.delete(id);
		if (error === undefined) pending.resolve(ok as never);
		else pending.reject(new PeerError(error, code!));
	}

	/** @throws PeerError with the code of the socket error */
	call<K extends keyof Commands>(op: K, input: Commands[K]['in']): Promise<Commands[K]['out']> {
		return new Promise((resolve, reject) => {
			const id = this.#next++;
			this.#pending.set(id, { resolve, reject } as Pending);
			this.#child.stdin!.write(`${JSON.stringify({ id, op, input })}\n`);
		});
	}

	async close(): Promise<void> {
		this.#child.stdin!.end();
		this.#child.kill('SIGKILL');
		await this.#exited;
	}
}
