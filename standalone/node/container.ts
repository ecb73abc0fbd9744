/**
 * A container: runs and restarts by the pod's restart policy. The `start` function defines a run.
 */

import type { Ended } from '../api/pod-access.ts';
import { timestamp } from '../timestamp.ts';
import type { ContainerState } from './status.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/** One run, from its start to its end. */
export interface Run {
	readonly ended: Promise<Ended>;
	/** Sends TERM, and KILL if the run has not ended after `graceMs`. */
	stop(graceMs: number): void;
}

export interface ContainerOptions {
	readonly name: string;
	/**
	 * @param restarts number of earlier starts.
	 * @throws Error if a part of the container's configuration is missing.
	 */
	readonly start: (restarts: number) => Run;
	readonly policy: RestartPolicy;
	/** Called after every change of state. */
	readonly onChange: () => void;
	/** The run that an earlier control plane left. The first start() continues it. */
	readonly left?: LeftRun;
}

export interface LeftRun {
	/** RFC 3339. */
	readonly startedAt: string;
	readonly restarts: number;
}

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 60_000;
/** Run time after which the backoff is reset. */
const HEALTHY_MS = 60_000;
/** Interval of retries while a part of the configuration is missing. */
const CONFIG_RETRY_MS = 1000;

export class Container {
	readonly #options: ContainerOptions;
	readonly #gone = Promise.withResolvers<void>();
	#run: Run | undefined;
	#timer: NodeJS.Timeout | undefined;
	#stopping = false;
	#backoff = FIRST_BACKOFF_MS;
	#left: LeftRun | undefined;
	restarts: number;
	state: ContainerState;
	lastState: ContainerState | undefined;

	/** @param reason of the waiting state before start() */
	constructor(options: ContainerOptions, reason = 'ContainerCreating') {
		this.#options = options;
		this.#left = options.left;
		this.restarts = options.left?.restarts ?? 0;
		this.state = { kind: 'waiting', reason };
	}

	get name(): string {
		return this.#options.name;
	}

	get running(): boolean {
		return this.#run !== undefined;
	}

	/** Resolves when the container has ended and will not restart. */
	get gone(): Promise<void> {
		return this.#gone.promise;
	}

	start(): void {
		if (this.#stopping) return;
		const startedAt = this.#left ? new Date(this.#left.startedAt) : new Date();
		this.#left = undefined;
		try {
			this.#run = this.#options.start(this.restarts);
		} catch (error) {
			const { message } = error as Error;
			this.state = { kind: 'waiting', reason: 'CreateContainerConfigError', message };
			this.#timer = setTimeout(() => this.start(), CONFIG_RETRY_MS);
			this.#options.onChange();
			return;
		}
		this.state = { kind: 'running', startedAt: timestamp(startedAt.getTime()) };
		void this.#run.ended.then((ended) => this.#ended(startedAt, ended));
		this.#options.onChange();
	}

	/** Ends the run. The restart policy applies as after a failure. */
	fail(graceMs: number): void {
		this.#run?.stop(graceMs);
	}

	/** Stops the container permanently. Resolves when it has ended. */
	async stop(graceMs: number): Promise<void> {
		this.#stopping = true;
		clearTimeout(this.#timer);
		if (this.#run) this.#run.stop(graceMs);
		else this.#gone.resolve();
		await this.#gone.promise;
	}

	#ended(startedAt: Date, { exitCode, signal }: Ended): void {
		this.#run = undefined;
		const ended: ContainerState = {
			kind: 'terminated',
			exitCode,
			...(signal === undefined ? {} : { signal }),
			reason: exitCode === 0 ? 'Completed' : 'Error',
			startedAt: timestamp(startedAt.getTime()),
			finishedAt: timestamp(Date.now()),
		};
		const { policy } = this.#options;
		const again = !this.#stopping && (policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0));
		if (again) this.#scheduleRestart(ended, Date.now() - startedAt.getTime());
		else {
			this.state = ended;
			this.#gone.resolve();
		}
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
			message: `back-off ${wait / 1000}s restarting failed container=${this.name}`,
		};
		this.#timer = setTimeout(() => {
			this.restarts++;
			this.start();
		}, wait);
	}
}
