/** A container: run, and run again as its pod says. What a run is, is its starter's business. */
import type { Ended } from '../api/pod-access.ts';
import type { ContainerState } from './status.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

/** From a start to the end that follows it. */
export interface Run {
	readonly ended: Promise<Ended>;
	/** TERM, and KILL when it is there after `graceMs`. */
	stop(graceMs: number): void;
}

export interface ContainerOptions {
	readonly name: string;
	/** @param restarts before this start. @throws Error when something that the container is configured with is missing. */
	readonly start: (restarts: number) => Run;
	readonly policy: RestartPolicy;
	/** Told after every change of state. */
	readonly onChange: () => void;
	/** The run that an earlier control plane left behind, which start() goes on with. */
	readonly left?: LeftRun;
}

export interface LeftRun {
	/** RFC 3339. */
	readonly startedAt: string;
	readonly restarts: number;
}

const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 60_000;
/** A program that ran this long starts over with the first back-off. */
const HEALTHY_MS = 60_000;
/** Between looks for what the container is configured with. */
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

	/** @param reason why it waits until start() */
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

	/** Resolves when it has ended and is not to be started again. */
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
		this.state = { kind: 'running', startedAt: timestamp(startedAt) };
		void this.#run.ended.then((ended) => this.#ended(startedAt, ended));
		this.#options.onChange();
	}

	/** Ends the run; what follows is as if it had failed by itself. */
	fail(graceMs: number): void {
		this.#run?.stop(graceMs);
	}

	/** Resolves when it has ended for good. */
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
			startedAt: timestamp(startedAt),
			finishedAt: timestamp(new Date()),
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

export function timestamp(date: Date): string {
	return `${date.toISOString().slice(0, 19)}Z`;
}
