/** The containers of a pod that run programs of the host, and the readiness probes of all its containers. */
import { join } from 'node:path';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import type { KubeObject } from '../port.ts';
import { Container, type RestartPolicy } from './container.ts';
import { isProbed, watchProbe } from './probe.ts';
import type { Place } from './spawn.ts';
import type { ContainerFacts } from './status.ts';
import type { ProbeSpec, Workload } from './workload.ts';

export interface PodProgramsOptions {
	readonly pod: KubeObject;
	readonly plan: Workload;
	readonly switcher: NetnsSwitcher;
	readonly place: Place;
	/** The pod's, for probes. */
	readonly address: string;
	readonly logDirectory: string;
	/** Told after every change of a container's state or readiness. */
	readonly onChange: () => void;
}

/** Key of the verdict on the containers that the built-in server stands for; no container has that name. */
const SERVER = '';

export class PodPrograms {
	readonly #options: PodProgramsOptions;
	readonly #containers: Map<string, Container>;
	/** Verdicts of the probes there are. */
	readonly #ready = new Map<string, boolean>();
	readonly #stopped = new AbortController();

	constructor(options: PodProgramsOptions) {
		this.#options = options;
		this.#containers = new Map(options.plan.commands.map((plan) => [plan.container, this.#container(plan)]));
	}

	start(): void {
		const { commands, serverProbe } = this.#options.plan;
		for (const container of this.#containers.values()) container.start();
		for (const { container, probe, env } of commands) this.#probe(container, probe, env);
		this.#probe(SERVER, serverProbe, {});
	}

	/** TERM, and KILL after `graceMs`; probes go on until the programs are gone. */
	async stop(graceMs: number): Promise<void> {
		await Promise.all([...this.#containers.values()].map((container) => container.stop(graceMs)));
		this.#stopped.abort();
	}

	/** @param startedAt RFC 3339, of the containers that the built-in server stands for. */
	facts(name: string, startedAt: string): ContainerFacts {
		const container = this.#containers.get(name);
		const ready = this.#ready.get(container ? name : SERVER) ?? true;
		if (!container) return { state: { kind: 'running', startedAt }, restarts: 0, ready };
		const { state, lastState, restarts } = container;
		return { state, restarts, ready, ...(lastState ? { lastState } : {}) };
	}

	#container(plan: Workload['commands'][number]): Container {
		const { pod, place, logDirectory, onChange } = this.#options;
		const { namespace, name } = pod.metadata;
		return new Container({
			plan,
			place,
			policy: (pod.spec?.restartPolicy ?? 'Always') as RestartPolicy,
			logFile: join(logDirectory, `${namespace}_${name}_${plan.container}.log`),
			onChange,
		});
	}

	#probe(name: string, probe: ProbeSpec | undefined, env: Readonly<Record<string, string>>): void {
		if (!isProbed(probe)) return;
		this.#ready.set(name, false);
		const { switcher, place, address, pod, onChange } = this.#options;
		const target = { place, address, env, port: (wanted: string) => namedPort(pod, wanted) };
		const onVerdict = (ready: boolean) => {
			this.#ready.set(name, ready);
			onChange();
		};
		void watchProbe(switcher, probe, target, onVerdict, this.#stopped.signal);
	}
}

function namedPort(pod: KubeObject, wanted: string): number | undefined {
	for (const container of pod.spec?.containers ?? [])
		for (const { name, containerPort } of container.ports ?? []) if (name === wanted) return containerPort;
	return undefined;
}
