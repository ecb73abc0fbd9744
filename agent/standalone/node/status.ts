/** The status of a pod from what its node knows. Pure: the same facts, the same status. */
import type { Fields, KubeObject } from '../port.ts';

export type ContainerState =
	| { readonly kind: 'running'; readonly startedAt: string }
	| { readonly kind: 'waiting'; readonly reason: string; readonly message?: string }
	| {
			readonly kind: 'terminated';
			readonly exitCode: number;
			readonly signal?: number;
			readonly reason: string;
			readonly startedAt: string;
			readonly finishedAt: string;
	  };

export interface ContainerFacts {
	readonly state: ContainerState;
	readonly lastState?: ContainerState;
	readonly restarts: number;
	readonly ready: boolean;
}

export interface PodFacts {
	/** Primary family first; empty while the pod has no network. */
	readonly podIPs: readonly string[];
	readonly hostIPs: readonly string[];
	readonly startTime: string;
	readonly containers: ReadonlyMap<string, ContainerFacts>;
	readonly message?: string;
	readonly now: string;
}

type Condition = Fields;

export function podStatus(pod: KubeObject, facts: PodFacts): Fields {
	const containers: Fields[] = (pod.spec?.containers ?? []).map((container: Fields) =>
		containerStatus(pod, container, facts.containers.get(container.name)),
	);
	const phase = phaseOf(pod, [...facts.containers.values()], containers.length);
	const allReady = containers.length > 0 && containers.every((container) => container.ready);
	const old: Fields = pod.status ?? {};
	return {
		...old,
		phase,
		conditions: conditions(pod, facts, allReady, phase),
		...(facts.message === undefined ? {} : { message: facts.message }),
		hostIP: facts.hostIPs[0],
		hostIPs: facts.hostIPs.map((ip) => ({ ip })),
		...(facts.podIPs.length === 0
			? {}
			: { podIP: facts.podIPs[0], podIPs: facts.podIPs.map((ip) => ({ ip })) }),
		startTime: old.startTime ?? facts.startTime,
		containerStatuses: containers,
		qosClass: old.qosClass ?? 'BestEffort',
	};
}

function containerStatus(pod: KubeObject, container: Fields, facts: ContainerFacts | undefined): Fields {
	const state: ContainerState = facts?.state ?? { kind: 'waiting', reason: 'ContainerCreating' };
	const image = container.image ?? '';
	const running = state.kind === 'running';
	return {
		name: container.name,
		image,
		imageID: '',
		...(facts ? { containerID: `maglane://${pod.metadata.uid}-${container.name}-${facts.restarts}` } : {}),
		ready: running && (facts?.ready ?? false),
		started: running,
		restartCount: facts?.restarts ?? 0,
		state: stateFields(state),
		lastState: facts?.lastState ? stateFields(facts.lastState) : {},
	};
}

function stateFields({ kind, ...fields }: ContainerState): Fields {
	return { [kind]: fields };
}

function phaseOf(pod: KubeObject, containers: readonly ContainerFacts[], expected: number): string {
	if (containers.length < expected || expected === 0) return 'Pending';
	const ended = containers.flatMap(({ state }) => (state.kind === 'terminated' ? [state] : []));
	if (ended.length < expected) return 'Running';
	const failed = ended.some(({ exitCode }) => exitCode !== 0);
	const policy = pod.spec?.restartPolicy ?? 'Always';
	if (policy === 'Always' || (policy === 'OnFailure' && failed)) return 'Running';
	return failed ? 'Failed' : 'Succeeded';
}

function conditions(pod: KubeObject, facts: PodFacts, containersReady: boolean, phase: string): Condition[] {
	const old: Condition[] = pod.status?.conditions ?? [];
	const gates: { conditionType: string }[] = pod.spec?.readinessGates ?? [];
	const closed = gates.filter(
		({ conditionType }) => old.find(({ type }) => type === conditionType)?.status !== 'True',
	);
	const ended = phase === 'Succeeded' || phase === 'Failed';
	const because = ended ? { reason: 'PodCompleted' } : {};
	const notReady = containersReady ? {} : { reason: 'ContainersNotReady', ...because };
	const gated =
		containersReady && closed.length > 0
			? {
					reason: 'ReadinessGatesNotReady',
					message: closed.map(({ conditionType }) => `${conditionType} is not True`).join('; '),
				}
			: notReady;
	const own: Condition[] = [
		condition('PodReadyToStartContainers', facts.podIPs.length > 0),
		condition('Initialized', true),
		condition('Ready', containersReady && closed.length === 0, gated),
		condition('ContainersReady', containersReady, notReady),
		condition('PodScheduled', true),
	];
	const types = new Set(own.map(({ type }) => type));
	const kept = old.filter(({ type }) => !types.has(type));
	return [...own.map((one) => since(one, old, facts.now)), ...kept];
}

function condition(type: string, holds: boolean, reason: Fields = {}): Condition {
	return { type, status: holds ? 'True' : 'False', ...reason };
}

/** The time of a condition is that of its last change of status. */
function since(one: Condition, old: readonly Condition[], now: string): Condition {
	const before = old.find(({ type }) => type === one.type);
	const lastTransitionTime = before?.status === one.status ? (before?.lastTransitionTime ?? now) : now;
	return { lastProbeTime: null, lastTransitionTime, ...one };
}
