import type {
	ControllerRevision,
	DaemonSet,
	Deployment,
	KubeObject,
	Node,
	Pod,
	ReplicaSet,
	Scale,
	StatefulSet,
} from '../../port.ts';
import { AGE, type Column, column, count, duration, labelsText, NAME, wide } from './column.ts';

type Workload = DaemonSet | Deployment | ReplicaSet | StatefulSet;
type PodParts = Partial<Pick<Pod['spec'], 'containers' | 'nodeSelector'>>;

interface WithPods extends KubeObject {
	spec: PodParts & { template?: { spec?: PodParts } };
}

const podSpecOf = (object: WithPods): PodParts => object.spec?.template?.spec ?? object.spec ?? {};
const containers = (field: 'name' | 'image') => (object: WithPods) =>
	(podSpecOf(object).containers ?? []).map((entry) => entry[field]).join(',');

function selectorText(selector: Workload['spec']['selector']): string {
	const exact = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
	const sets = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) =>
		operator === 'Exists'
			? key
			: operator === 'DoesNotExist'
				? `!${key}`
				: `${key} ${operator.toLowerCase()} (${values.join(',')})`,
	);
	return [...exact, ...sets].sort().join(',') || '<none>';
}

const WORKLOAD_WIDE: Column<Workload>[] = [
	wide('Containers', containers('name')),
	wide('Images', containers('image')),
];
const SELECTOR: Column<Workload> = wide('Selector', (object) => selectorText(object.spec?.selector));
const of = <F extends string>(object: { status?: { [K in F]?: number } }, field: F): number =>
	object.status?.[field] ?? 0;

export const deployments: Column<Deployment>[] = [
	NAME,
	column('Ready', (object) => `${of(object, 'readyReplicas')}/${object.spec?.replicas ?? 0}`),
	count('Up-to-date', (object) => of(object, 'updatedReplicas')),
	count('Available', (object) => of(object, 'availableReplicas')),
	AGE,
	...WORKLOAD_WIDE,
	SELECTOR,
];

export const replicasets: Column<ReplicaSet>[] = [
	NAME,
	count('Desired', (object) => object.spec?.replicas ?? 0),
	count('Current', (object) => of(object, 'replicas')),
	count('Ready', (object) => of(object, 'readyReplicas')),
	AGE,
	...WORKLOAD_WIDE,
	SELECTOR,
];

export const statefulsets: Column<StatefulSet>[] = [
	NAME,
	column('Ready', (object) => `${of(object, 'readyReplicas')}/${object.spec?.replicas ?? 0}`),
	AGE,
	...WORKLOAD_WIDE,
];

export const daemonsets: Column<DaemonSet>[] = [
	NAME,
	count('Desired', (object) => of(object, 'desiredNumberScheduled')),
	count('Current', (object) => of(object, 'currentNumberScheduled')),
	count('Ready', (object) => of(object, 'numberReady')),
	count('Up-to-date', (object) => of(object, 'updatedNumberScheduled')),
	count('Available', (object) => of(object, 'numberAvailable')),
	column('Node Selector', (object) => labelsText(podSpecOf(object).nodeSelector)),
	AGE,
	...WORKLOAD_WIDE,
	SELECTOR,
];

function controllerText({ metadata }: KubeObject): string {
	const owner = metadata.ownerReferences?.find(({ controller }) => controller);
	if (!owner) return '<none>';
	const slash = owner.apiVersion.indexOf('/');
	const group = slash < 0 ? '' : `.${owner.apiVersion.slice(0, slash)}`;
	return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

export const controllerrevisions: Column<ControllerRevision>[] = [
	NAME,
	column('Controller', controllerText),
	count('Revision', (object) => object.revision ?? 0),
	AGE,
];

function podStatus(pod: Pod): string {
	const statuses = pod.status?.containerStatuses ?? [];
	const reasons = statuses.map(({ state }) => {
		if (state?.waiting?.reason) return state.waiting.reason;
		if (!state?.terminated) return undefined;
		const { reason, signal, exitCode } = state.terminated;
		return reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);
	});
	const reason =
		reasons.find((entry) => entry !== undefined) ?? pod.status?.reason ?? pod.status?.phase ?? 'Unknown';
	if (pod.metadata.deletionTimestamp) return pod.status?.reason === 'NodeLost' ? 'Unknown' : 'Terminating';
	return reason;
}

function restarts(pod: Pod, now: number): string {
	const statuses = pod.status?.containerStatuses ?? [];
	const total = statuses.reduce((sum, entry) => sum + (entry.restartCount ?? 0), 0);
	const ends = statuses.map((entry) => entry.lastState?.terminated?.finishedAt).filter((time) => time);
	const last = Math.max(...ends.map((time) => Date.parse(time!)));
	return total > 0 && ends.length > 0 ? `${total} (${duration((now - last) / 1000)} ago)` : String(total);
}

function readinessGates(pod: Pod): string {
	const gates = pod.spec?.readinessGates ?? [];
	if (gates.length === 0) return '<none>';
	const isTrue = (type: string) =>
		(pod.status?.conditions ?? []).some((entry) => entry.type === type && entry.status === 'True');
	return `${gates.filter((gate) => isTrue(gate.conditionType)).length}/${gates.length}`;
}

export const pods: Column<Pod>[] = [
	NAME,
	column('Ready', (pod) => {
		const ready = (pod.status?.containerStatuses ?? []).filter((entry) => entry.ready).length;
		return `${ready}/${pod.spec?.containers?.length ?? 0}`;
	}),
	column('Status', podStatus),
	column('Restarts', restarts),
	AGE,
	wide('IP', (pod) => pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? '<none>'),
	wide('Node', (pod) => pod.spec?.nodeName ?? '<none>'),
	wide('Nominated Node', (pod) => pod.status?.nominatedNodeName ?? '<none>'),
	wide('Readiness Gates', readinessGates),
];

function nodeStatus(node: Node): string {
	const ready = (node.status?.conditions ?? []).find((entry) => entry.type === 'Ready');
	const status = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
	return node.spec?.unschedulable ? `${status},SchedulingDisabled` : status;
}

const ROLE = 'node-role.kubernetes.io/';
const addressOf = (type: string) => (node: Node) =>
	(node.status?.addresses ?? []).find((entry) => entry.type === type)?.address ?? '<none>';
const infoOf = (field: 'osImage' | 'kernelVersion' | 'containerRuntimeVersion') => (node: Node) =>
	node.status?.nodeInfo?.[field] || '<unknown>';

export const nodes: Column<Node>[] = [
	NAME,
	column('Status', nodeStatus),
	column('Roles', (node) => {
		const roles = Object.keys(node.metadata.labels ?? {}).filter((label) => label.startsWith(ROLE));
		return (
			roles
				.map((label) => label.slice(ROLE.length))
				.sort()
				.join(',') || '<none>'
		);
	}),
	AGE,
	column('Version', (node) => node.status?.nodeInfo?.kubeletVersion ?? ''),
	wide('Internal-IP', addressOf('InternalIP')),
	wide('External-IP', addressOf('ExternalIP')),
	wide('OS-Image', infoOf('osImage')),
	wide('Kernel-Version', infoOf('kernelVersion')),
	wide('Container-Runtime', infoOf('containerRuntimeVersion')),
];

export const scales: Column<Scale>[] = [
	NAME,
	count('Desired', (scale) => scale.spec?.replicas ?? 0),
	count('Available', (scale) => scale.status?.replicas ?? 0),
	AGE,
];
