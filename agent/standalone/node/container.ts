/** A container that is a program of the host: started in the pod's namespace, started again as its pod says. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { type Place, signalGroup, spawnPlaced } from './spawn.ts';
import type { ContainerState } from './status.ts';
import type { CommandPlan } from './workload.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export interface ContainerOptions {
	readonly plan: CommandPlan;
	readonly place: Place;
	readonly policy: RestartPolicy;
	/** Takes stdout and stderr. */
	readonly logFile: string;
	/** Told after every change of state. */
	readonly onChange: () => void;
}

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 60_000;
/** A program that ran this long starts over with the first back-off. */
const HEALTHY_MS = 60_000;

export class Container {
	readonly #options: ContainerOptions;
	#child: ChildProcess | undefined;
	#timer: NodeJS.Timeout | undefined;
	#stopping = false;
	#backoff = FIRST_BACKOFF_MS;
	restarts = 0;
	state: ContainerState = { kind: 'waiting', reason: 'ContainerCreating' };
	lastState: ContainerState | undefined;

	constructor(options: ContainerOptions) {
		this.#options = options;
	}

	get name(): string {
		return this.#options.plan.container;
	}

	start(): void {
		const { plan, place, logFile } = this.#options;
		mkdirSync(dirname(logFile), { recursive: true });
		const log = openSync(logFile, 'a');
		const startedAt = new Date();
		// spawn() reports a missing directory as a missing program
		const cwd = existsSync(plan.cwd) ? plan.cwd : '/';
		const child = spawnPlaced(place, plan.argv, { env: plan.env, cwd, stdio: ['ignore', log, log] });
		this.#child = child;
		this.state = { kind: 'running', startedAt: timestamp(startedAt) };
		child.once('error', (error) => {
			writeSync(log, `${error.message}\n`);
			this.#ended(startedAt, 128, undefined);
		});
		child.once('exit', (code, signal) => this.#ended(startedAt, code, signal ?? undefined));
		child.once('close', () => closeSync(log));
	}

	/** TERM, then KILL when the program is there after `graceMs`. Resolves when it is gone. */
	stop(graceMs: number): Promise<void> {
		this.#stopping = true;
		clearTimeout(this.#timer);
		const child = this.#child;
		if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
		return new Promise((resolve) => {
			const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), graceMs);
			child.once('exit', () => {
				clearTimeout(timer);
				signalGroup(child, 'SIGKILL'); // what the program left behind in its group
				resolve();
			});
			signalGroup(child, graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
		});
	}

	#ended(startedAt: Date, code: number | null, signal: NodeJS.Signals | undefined): void {
		this.#child = undefined;
		const number = signal === undefined ? undefined : constants.signals[signal];
		const exitCode = code ?? 128 + (number ?? 0);
		const ended: ContainerState = {
			kind: 'terminated',
			exitCode,
			...(number === undefined ? {} : { signal: number }),
			reason: exitCode === 0 ? 'Completed' : 'Error',
			startedAt: timestamp(startedAt),
			finishedAt: timestamp(new Date()),
		};
		const { policy } = this.#options;
		const again = !this.#stopping && (policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0));
		if (again) this.#scheduleRestart(ended, Date.now() - startedAt.getTime());
		else this.state = ended;
		this.#options.onChange();
	}

	#scheduleRestart(ended: ContainerState, lived: number): void {
		if (lived >= HEALTHY_MS) this.#backoff = FIRST_BACKOFF_MS;
		const wait = this.#backoff;
		this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MS);
		this.lastState = ended;
		this.state = {
			kind: 'waiting',
			reason: 'CrashLoopBackOff',
			message: `Starts again ${wait / 1000} s after its end; output in ${this.#options.logFile}`,
		};
		this.#timer = setTimeout(() => {
			this.restarts++;
			this.start();
			this.#options.onChange();
		}, wait);
	}
}

function timestamp(date: Date): string {
	return `${date.toISOString().slice(0, 19)}Z`;
}
