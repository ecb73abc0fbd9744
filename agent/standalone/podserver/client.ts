/** The control plane's side of the pod server process: asks, restarts it when it dies, and asks again. */
import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { PodSpec, PortFailure, Reply, Request } from './messages.ts';

const PROCESS = fileURLToPath(new URL('./process.ts', import.meta.url));
const RESTART_DELAY_MS = 200;

type Waiting = (failures: readonly PortFailure[]) => void;

export class PodServer implements Disposable {
	readonly #pods = new Map<string, PodSpec>();
	readonly #waiting = new Map<number, Waiting>();
	readonly #onRestart: (status: string) => void;
	#sequence = 0;
	#child: ChildProcess;
	#closed = false;

	/** @param onRestart told why the process ended each time that it has to be started again. */
	constructor(onRestart: (status: string) => void = () => {}) {
		this.#onRestart = onRestart;
		this.#child = this.#start();
	}

	get pid(): number | undefined {
		return this.#child.pid;
	}

	/** Opens and closes ports until the pod's are exactly these. @returns ports that could not be opened. */
	serve(pod: PodSpec): Promise<readonly PortFailure[]> {
		this.#pods.set(pod.id, pod);
		return this.#ask({ type: 'serve', sequence: ++this.#sequence, pod });
	}

	async stop(id: string): Promise<void> {
		if (!this.#pods.delete(id)) return;
		await this.#ask({ type: 'stop', sequence: ++this.#sequence, id });
	}

	[Symbol.dispose](): void {
		this.#closed = true;
		if (this.#child.connected) this.#child.disconnect();
		this.#answerAll();
	}

	#ask(request: Request): Promise<readonly PortFailure[]> {
		return new Promise((resolve) => {
			this.#waiting.set(request.sequence, resolve);
			// A lost channel is handled by the restart, which asks for every pod again
			if (this.#child.connected) this.#child.send(request, () => {});
			else if (this.#closed) this.#answerAll();
		});
	}

	#start(): ChildProcess {
		const child = fork(PROCESS, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [] });
		child.on('message', (reply: Reply) => {
			this.#waiting.get(reply.sequence)?.(reply.failures);
			this.#waiting.delete(reply.sequence);
		});
		child.on('error', () => {}); // 'exit' follows
		child.once('exit', (code, signal) => {
			if (this.#closed) return;
			this.#onRestart(signal ?? `status ${code}`);
			void this.#restart();
		});
		return child;
	}

	async #restart(): Promise<void> {
		await sleep(RESTART_DELAY_MS);
		if (this.#closed) return;
		this.#child = this.#start();
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
