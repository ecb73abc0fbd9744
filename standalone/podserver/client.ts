/**
 * The control plane's client of the pod server process. Restarts the process when it ends and
 * repeats its requests.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Channel, type OpenChannel, openChild, openSocket } from './channel.ts';
import type { PodSpec, PortFailure, Request } from './messages.ts';

const RESTART_DELAY_MS = 200;

type Waiting = (failures: readonly PortFailure[]) => void;

export interface PodServerOptions {
	/**
	 * Unix socket of a process that outlives this one. Without a socket, the process ends with this
	 * one.
	 */
	readonly socketPath?: string;
	/** Called before each restart with the reason of the process's end. */
	readonly onRestart?: (status: string) => void;
}

export class PodServer implements Disposable {
	readonly #pods = new Map<string, PodSpec>();
	readonly #waiting = new Map<number, Waiting>();
	readonly #onRestart: (status: string) => void;
	readonly #open: OpenChannel;
	#retained: readonly string[] = [];
	#sequence = 0;
	/** Undefined while the channel is being opened. */
	#channel: Channel | undefined;
	#closed = false;

	constructor({ socketPath, onRestart = () => {} }: PodServerOptions = {}) {
		this.#onRestart = onRestart;
		this.#open = socketPath === undefined ? openChild : (events) => openSocket(socketPath, events);
		void this.#start();
	}

	/** The id of a running process that this process started. */
	get pid(): number | undefined {
		return this.#channel?.pid;
	}

	/**
	 * Opens and closes ports until exactly the pod's ports are open.
	 * @returns ports that could not be opened.
	 */
	serve(pod: PodSpec): Promise<readonly PortFailure[]> {
		this.#pods.set(pod.id, pod);
		return this.#ask({ type: 'serve', sequence: ++this.#sequence, pod });
	}

	async stop(id: string): Promise<void> {
		if (!this.#pods.delete(id)) return;
		await this.#ask({ type: 'stop', sequence: ++this.#sequence, id });
	}

	/** Stops serving all pods of an earlier control plane except these. */
	retain(ids: readonly string[]): void {
		this.#retained = ids;
		this.#channel?.send({ type: 'retain', ids });
	}

	/** Ends the process. */
	[Symbol.dispose](): void {
		this.#closed = true;
		this.#channel?.end();
		this.#answerAll();
	}

	#ask(request: Extract<Request, { sequence: number }>): Promise<readonly PortFailure[]> {
		return new Promise((resolve) => {
			this.#waiting.set(request.sequence, resolve);
			// Without an open channel, #askAgain() repeats all requests later
			this.#channel?.send(request);
			if (this.#closed) this.#answerAll();
		});
	}

	async #start(): Promise<void> {
		try {
			const channel = await this.#open({
				onReply: ({ sequence, failures }) => {
					this.#waiting.get(sequence)?.(failures);
					this.#waiting.delete(sequence);
				},
				onEnd: (how) => void this.#restart(how),
			});
			this.#channel = channel;
			if (this.#closed) channel.end();
			else await this.#askAgain(channel);
		} catch (error) {
			await this.#restart((error as Error).message);
		}
	}

	async #restart(how: string): Promise<void> {
		this.#channel = undefined;
		if (this.#closed) return;
		this.#onRestart(how);
		await sleep(RESTART_DELAY_MS);
		if (!this.#closed) await this.#start();
	}

	/** Serves all pods again on a new channel, then answers the requests of the closed one. */
	async #askAgain(channel: Channel): Promise<void> {
		channel.send({ type: 'retain', ids: [...this.#retained, ...this.#pods.keys()] });
		const pending = [...this.#waiting.values()];
		this.#waiting.clear();
		const replies = [...this.#pods.values()].map((pod) => this.serve(pod));
		const failures = (await Promise.all(replies)).flat();
		for (const done of pending) done(failures);
	}

	#answerAll(): void {
		for (const done of this.#waiting.values()) done([]);
		this.#waiting.clear();
	}
}
