/** The shipped agent of a node: one process, restarted when it ends, with its output in a file. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { type Place, signalGroup, spawnPlaced } from './spawn.ts';

export interface AgentOptions {
	readonly node: string;
	readonly argv: readonly string[];
	readonly place: Place;
	readonly logFile: string;
	readonly log: Logger;
}

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;
const HEALTHY_MS = 30_000;
const STOP_GRACE_MS = 5000;

export class AgentProcess {
	readonly #options: AgentOptions;
	#child: ChildProcess | undefined;
	#timer: NodeJS.Timeout | undefined;
	#backoff = FIRST_BACKOFF_MS;
	#stopping = false;
	restarts = 0;
	/** How the last process ended; undefined while one is running. */
	lastEnd: string | undefined;

	constructor(options: AgentOptions) {
		this.#options = options;
	}

	get pid(): number | undefined {
		return this.#child?.pid;
	}

	start(): void {
		const { place, argv, logFile, log, node } = this.#options;
		mkdirSync(dirname(logFile), { recursive: true });
		const output = openSync(logFile, 'a');
		const started = Date.now();
		const child = spawnPlaced(place, argv, { stdio: ['ignore', output, output] });
		closeSync(output); // the child has its own descriptor
		this.#child = child;
		this.lastEnd = undefined;
		const ended = (how: string) => {
			if (this.#child !== child) return;
			this.#child = undefined;
			this.lastEnd = how;
			if (this.#stopping) return;
			if (Date.now() - started >= HEALTHY_MS) this.#backoff = FIRST_BACKOFF_MS;
			log.warn({ event: 'agent_ended', node, how, restart_in_ms: this.#backoff });
			this.#timer = setTimeout(() => {
				this.restarts++;
				this.start();
			}, this.#backoff);
			this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MS);
		};
		child.once('error', (error) => ended(error.message));
		child.once('exit', (code, signal) => ended(signal ?? `status ${code}`));
	}

	async stop(): Promise<void> {
		this.#stopping = true;
		clearTimeout(this.#timer);
		const child = this.#child;
		if (!child) return;
		await new Promise<void>((resolve) => {
			const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), STOP_GRACE_MS);
			child.once('exit', () => {
				clearTimeout(timer);
				resolve();
			});
			signalGroup(child, 'SIGTERM');
		});
	}
}
