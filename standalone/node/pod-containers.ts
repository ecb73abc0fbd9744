/**
 * The containers of a pod. Init containers run one after the other, with sidecars beside them; then
 * all others start at once.
 */
import { rmSync } from 'node:fs';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { Ended } from '../api/pod-access.ts';
import type { Pod } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { Container, type RestartPolicy, type Run } from './container.ts';
import type { EnvFacts } from './env.ts';
import { LogFile } from './log-file.ts';
import { containerLog } from './pod-place.ts';
import { watchProbes } from './probe.ts';
import { type ActionTarget, act } from './probe-action.ts';
import { type Launch, type Program, startProgram } from './program.ts';
import { builtInRun, programRun } from './run.ts';
import type { Place } from './spawn.ts';
import type { ContainerFacts } from './status.ts';
import { type ContainerPlan, launchOf, type Workload } from './workload.ts';

export interface PodContainersOptions {
	readonly pod: Pod;
	readonly plan: Workload;
	readonly switcher: NetnsSwitcher;
	readonly place: Place;
	/** The pod's address, for probes. */
	readonly address: string;
	readonly graceMs: number;
	readonly logDirectory: string;
	/** Whether the pod's network and its built-in servers are from an earlier control plane. */
	readonly resumed: boolean;
	/** The facts at the start of a container. */
	envFacts(): EnvFacts;
	/** Called after every change of a container's state or readiness. */
	onChange(): void;
	/** Called to emit an Event of the pod. */
	onEvent(reason: string, message: string): void;
}

interface Member {
	readonly plan: ContainerPlan;
	readonly container: Container;
	/** Launch parameters of the current or last run. */
	launch: Launch | undefined;
	program: Program | undefined;
	started: boolean;
	ready: boolean;
	/** Resolves when the container has started for the first time. */
	readonly firstStart: PromiseWithResolvers<void>;
}

/** Number of runs with logs: the current run and the one for `--previous`. */
const KEPT_RUNS = 2;

export class PodContainers {
	readonly #options: PodContainersOptions;
	readonly #members: ReadonlyMap<string, Member>;
	readonly #stopped = new AbortController();

	constructor(options: PodContainersOptions) {
		this.#options = options;
		const { containers } = options.plan;
		const first = containers.some(({ role }) => role !== 'main') ? 'PodInitializing' : 'ContainerCreating';
		this.#members = new Map(containers.map((plan) => [plan.name, this.#member(plan, first)]));
	}

	/** Returns at once. Later changes call onChange. */
	start(): void {
		void this.#start();
	}

	/**
	 * Sends TERM, and KILL after `graceMs`. Stops sidecars after all others have ended. Until then,
	 * probes continue.
	 */
	async stop(graceMs: number): Promise<void> {
		this.#stopped.abort();
		const deadline = Date.now() + graceMs;
		const stopAll = (sidecars: boolean) =>
			[...this.#members.values()]
				.filter(({ plan }) => (plan.role === 'sidecar') === sidecars)
				.map(({ container }) => container.stop(Math.max(0, deadline - Date.now())));
		await Promise.all(graceMs <= 0 ? [...stopAll(false), ...stopAll(true)] : stopAll(false));
		await Promise.all(stopAll(true));
	}

	facts(name: string): ContainerFacts | undefined {
		const member = this.#members.get(name);
		if (!member) return undefined;
		const { state, lastState, restarts } = member.container;
		const { started, ready } = member;
		return { state, restarts, started, ready, ...(lastState ? { lastState } : {}) };
	}

	/** The container for `exec`, `attach` and `logs`. */
	get(name: string): Pick<Member, 'plan' | 'container' | 'launch' | 'program'> | undefined {
		return this.#members.get(name);
	}

	/** Log files of the current runs of containers in the built-in server. */
	builtInLogs(): Record<string, string> {
		const { pod, logDirectory } = this.#options;
		const builtIn = [...this.#members.values()].filter(({ plan }) => plan.program === undefined);
		return Object.fromEntries(
			builtIn.map(({ plan: { name }, container }) => [
				name,
				containerLog(logDirectory, pod, name, container.restarts),
			]),
		);
	}

	#member(plan: ContainerPlan, reason: string): Member {
		const { pod, onChange, resumed } = this.#options;
		const left = resumed ? leftRun(plan, pod) : undefined;
		const member: Member = {
			plan,
			container: new Container(
				{
					name: plan.name,
					start: (restarts) => this.#begin(member, restarts),
					policy: policyOf(plan, pod),
					onChange,
					...(left && { left }),
				},
				reason,
			),
			launch: undefined,
			program: undefined,
			started: false,
			// Until a probe changes it
			ready: left?.ready ?? false,
			firstStart: Promise.withResolvers(),
		};
		return member;
	}

	async #start(): Promise<void> {
		const { signal } = this.#stopped;
		for (const { plan, container, firstStart } of this.#members.values()) {
			if (signal.aborted) return;
			container.start();
			if (plan.role === 'main') continue;
			if (plan.role === 'sidecar') await Promise.race([firstStart.promise, container.gone]);
			else await container.gone;
			// With restartPolicy Never, the pod has failed
			if (container.state.kind === 'terminated' && container.state.exitCode !== 0) return;
		}
	}

	#begin(member: Member, restarts: number): Run {
		const { plan } = member;
		const { pod, place, logDirectory, envFacts } = this.#options;
		const launch = launchOf(pod, plan, envFacts());
		member.launch = launch;
		const target = this.#target(launch, plan);
		const preStop = () => this.#hook('PreStop', plan, target);
		const log = containerLog(logDirectory, pod, plan.name, restarts);
		if (restarts >= KEPT_RUNS)
			rmSync(containerLog(logDirectory, pod, plan.name, restarts - KEPT_RUNS), { force: true });
		let run: Run;
		if (plan.program === undefined) run = this.#builtIn(plan, preStop);
		else {
			const { stdin = false, tty = false } = plan.spec;
			member.program = startProgram(place, launch, { stdin, tty });
			run = programRun(member.program, new LogFile(log), preStop);
		}
		this.#watch(member, run, target);
		return run;
	}

	#builtIn({ role }: ContainerPlan, preStop: () => Promise<void>): Run {
		if (role === 'init') return { ended: Promise.resolve<Ended>({ exitCode: 0 }), stop: () => {} };
		const { ports, lingerSeconds } = this.#options.plan;
		return builtInRun(ports.length === 0 ? 0 : lingerSeconds * 1000, preStop);
	}

	#watch(member: Member, run: Run, target: ActionTarget): void {
		const { onChange, onEvent, graceMs } = this.#options;
		const { plan, container } = member;
		const over = new AbortController();
		void run.ended.then(() => {
			over.abort();
			member.started = false;
			member.ready = false;
			member.program = undefined;
		});
		const { startupProbe, readinessProbe } = plan.probes;
		const hooked = plan.spec.lifecycle?.postStart !== undefined;
		member.started = !hooked && startupProbe === undefined;
		member.ready ||= member.started && readinessProbe === undefined;
		void this.#hook('PostStart', plan, target).then(() =>
			watchProbes(
				plan.probes,
				target,
				{
					onStarted: () => {
						member.started = true;
						member.firstStart.resolve();
						onChange();
					},
					isReady: () => member.ready,
					onReady: (ready) => {
						member.ready = ready;
						onChange();
					},
					onFailure: (message) => onEvent('Unhealthy', message),
					onDead: ({ terminationGracePeriodSeconds: seconds }, why) => {
						onEvent('Killing', `Container ${plan.name} ${why}, will be restarted`);
						container.fail(seconds === undefined ? graceMs : seconds * 1000);
					},
				},
				over.signal,
			),
		);
	}

	/** Runs a hook. A failure emits an Event and has no other effect. */
	async #hook(name: 'PostStart' | 'PreStop', { spec }: ContainerPlan, target: ActionTarget): Promise<void> {
		const action = name === 'PreStop' ? spec.lifecycle?.preStop : spec.lifecycle?.postStart;
		if (!action) return;
		const failure = await act(action, target, this.#options.graceMs);
		if (failure !== undefined) this.#options.onEvent(`Failed${name}Hook`, `${name}Hook failed: ${failure}`);
	}

	#target({ env }: Launch, { spec }: ContainerPlan): ActionTarget {
		const { switcher, place, address } = this.#options;
		const port = (wanted: string) => spec.ports?.find(({ name }) => name === wanted)?.containerPort;
		return { switcher, place, address, env, port };
	}
}

/**
 * The run that an earlier control plane left. Only the built-in server continues runs; programs end
 * with the control plane, which holds their output.
 */
function leftRun({ name, program }: ContainerPlan, { status }: Pod) {
	const old = status?.containerStatuses?.find((one) => one.name === name);
	const startedAt = old?.state?.running?.startedAt;
	if (!old || startedAt === undefined) return undefined;
	// The program was killed with its control plane: this is its next run
	if (program !== undefined)
		return { startedAt: timestamp(Date.now()), restarts: old.restartCount + 1, ready: false };
	return { startedAt, restarts: old.restartCount, ready: old.ready };
}

function policyOf({ role }: ContainerPlan, pod: Pod): RestartPolicy {
	const policy = (pod.spec?.restartPolicy ?? 'Always') as RestartPolicy;
	if (role === 'sidecar') return 'Always';
	return role === 'init' && policy === 'Always' ? 'OnFailure' : policy;
}
