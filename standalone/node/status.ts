/**
 * Builds the status of a pod from the facts of its node. Pure: equal facts give an equal status.
 */
import type { V1Container, V1ContainerState, V1ContainerStatus } from '@kubernetes/client-node';
import type { Json, Pod, PodCondition, PodStatus } from '../port.ts';

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
	/** Whether its startup probe has succeeded. */
	readonly started: boolean;
	readonly ready: boolean;
}

export interface PodFacts {
	/** The primary family first; empty while the pod has no network. */
	readonly podIPs: readonly string[];
	readonly hostIPs: readonly string[];
	readonly startTime: string;
	readonly containers: ReadonlyMap<string, ContainerFacts>;
	readonly message?: string;
	readonly now: string;
}

type ContainerSpec = Json<V1Container>;
type ContainerStatus = Json<V1ContainerStatus>;

export function podStatus(pod: Pod, facts: PodFacts): PodStatus {
	const { initContainers = [], containers: specs = [] } = pod.spec ?? {};
	const status = (spec: ContainerSpec) => containerStatus(pod, spec, facts.containers.get(spec.name));
	const containers = specs.map(status);
	const inits = initContainers.map((spec) => initStatus(spec, status(spec)));
	const phase = phaseOf(pod, facts);
	const initialized = inits.every((one, i) => (isSidecar(initContainers[i]!) ? one.started : one.ready));
	const sidecars = inits.filter((_, i) => isSidecar(initContainers[i]!));
	const allReady = containers.length > 0 && [...containers, ...sidecars].every(({ ready }) => ready);
	const old: PodStatus = pod.status ?? {};
	return {
		...old,
		phase,
		conditions: conditions(pod, facts, { phase, initialized, allReady }),
		...(facts.message === undefined ? {} : { message: facts.message }),
		hostIP: facts.hostIPs[0]!,
		hostIPs: facts.hostIPs.map((ip) => ({ ip })),
		...(facts.podIPs.length === 0
			? {}
			: { podIP: facts.podIPs[0]!, podIPs: facts.podIPs.map((ip) => ({ ip })) }),
		startTime: old.startTime ?? facts.startTime,
		...(inits.length > 0 ? { initContainerStatuses: inits } : {}),
		containerStatuses: containers,
		qosClass: old.qosClass ?? 'BestEffort',
	};
}

function isSidecar(spec: ContainerSpec): boolean {
	return spec.restartPolicy === 'Always';
}

/**
 * An init container is ready after it has completed. A sidecar is treated like other containers.
 */
function initStatus(spec: ContainerSpec, status: ContainerStatus): ContainerStatus {
	if (isSidecar(spec)) return status;
	return { ...status, ready: status.state!.terminated?.exitCode === 0, started: false };
}

function containerStatus(
	pod: Pod,
	container: ContainerSpec,
	facts: ContainerFacts | undefined,
): ContainerStatus {
	const state: ContainerState = facts?.state ?? { kind: 'waiting', reason: 'ContainerCreating' };
	const image = container.image ?? '';
	const running = state.kind === 'running';
	return {
		name: container.name,
		image,
		imageID: '',
		...(facts ? { containerID: `maglane://${pod.metadata.uid}-${container.name}-${facts.restarts}` } : {}),
		ready: running && (facts?.ready ?? false),
		started: running && (facts?.started ?? false),
		restartCount: facts?.restarts ?? 0,
		state: stateFields(state),
		lastState: facts?.lastState ? stateFields(facts.lastState) : {},
	};
}

function stateFields({ kind, ...fields }: ContainerState): Json<V1ContainerState> {
	return { [kind]: fields };
}

function phaseOf(pod: Pod, facts: PodFacts): string {
	const { initContainers = [], containers = [] } = pod.spec ?? {};
	const policy = pod.spec?.restartPolicy ?? 'Always';
	const stateOf = ({ name }: ContainerSpec): ContainerState | undefined => facts.containers.get(name)?.state;
	const inits = initContainers.filter((spec) => !isSidecar(spec)).map(stateOf);
	if (policy === 'Never' && inits.some(failed)) return 'Failed';
	const states = containers.map(stateOf);
	const begun = states.every((state) => state && !(state.kind === 'waiting' && isFirst(state.reason)));
	if (!begun || states.length === 0) return 'Pending';
	if (states.some((state) => state?.kind !== 'terminated')) return 'Running';
	const anyFailed = states.some(failed);
	if (policy === 'Always' || (policy === 'OnFailure' && anyFailed)) return 'Running';
	return anyFailed ? 'Failed' : 'Succeeded';
}

/** Whether a waiting reason is that of a container that has never run. */
function isFirst(reason: string): boolean {
	return ['PodInitializing', 'ContainerCreating', 'CreateContainerConfigError'].includes(reason);
}

function failed(state: ContainerState | undefined): boolean {
	return state?.kind === 'terminated' && state.exitCode !== 0;
}

interface Progress {
	readonly phase: string;
	readonly initialized: boolean;
	readonly allReady: boolean;
}

function conditions(
	pod: Pod,
	facts: PodFacts,
	{ phase, initialized, allReady: containersReady }: Progress,
): PodCondition[] {
	const old: PodCondition[] = pod.status?.conditions ?? [];
	const gates = pod.spec?.readinessGates ?? [];
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
	const own: PodCondition[] = [
		condition('PodReadyToStartContainers', facts.podIPs.length > 0),
		condition('Initialized', initialized, initialized ? {} : { reason: 'ContainersNotInitialized' }),
		condition('Ready', containersReady && closed.length === 0, gated),
		condition('ContainersReady', containersReady, notReady),
		condition('PodScheduled', true),
	];
	const types = new Set(own.map(({ type }) => type));
	const kept = old.filter(({ type }) => !types.has(type));
	return [...own.map((one) => since(one, old, facts.now)), ...kept];
}

function condition(
	type: string,
	holds: boolean,
	reason: Pick<PodCondition, 'reason' | 'message'> = {},
): PodCondition {
	return { type, status: holds ? 'True' : 'False', ...reason };
}

/** Sets the time of the condition's last change of status. */
function since(one: PodCondition, old: readonly PodCondition[], now: string): PodCondition {
	const before = old.find(({ type }) => type === one.type);
	const lastTransitionTime = before?.status === one.status ? (before?.lastTransitionTime ?? now) : now;
	return { lastProbeTime: null, lastTransitionTime, ...one };
}
