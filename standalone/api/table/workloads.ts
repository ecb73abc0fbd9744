import type { Fields, KubeObject } from '../../port.ts';
import { AGE, type Column, column, count, duration, labelsText, NAME, wide } from './column.ts';

const podSpecOf = (object: KubeObject): Fields => object.spec?.template?.spec ?? object.spec ?? {};
const containers = (field: string) => (object: KubeObject) =>
	(podSpecOf(object).containers ?? []).map((entry: Fields) => entry[field]).join(',');

function selectorText(selector: Fields): string {
	const exact = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
	const sets = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }: Fields) =>
		operator === 'Exists'
			? key
			: operator === 'DoesNotExist'
				? `!${key}`
				: `${key} ${operator.toLowerCase()} (${values.join(',')})`,
	);
	return [...exact, ...sets].sort().join(',') || '<none>';
}

const WORKLOAD_WIDE = [wide('Containers', containers('name')), wide('Images', containers('image'))];
const SELECTOR = wide('Selector', (object) => selectorText(object.spec?.selector));
const of = (object: KubeObject, field: string): number => object.status?.[field] ?? 0;

export const deployments: Column[] = [
	NAME,
	column('Ready', (object) => `${of(object, 'readyReplicas')}/${object.spec?.replicas ?? 0}`),
	count('Up-to-date', (object) => of(object, 'updatedReplicas')),
	count('Available', (object) => of(object, 'availableReplicas')),
	AGE,
	...WORKLOAD_WIDE,
	SELECTOR,
];

export const replicasets: Column[] = [
	NAME,
	count('Desired', (object) => object.spec?.replicas ?? 0),
	count('Current', (object) => of(object, 'replicas')),
	count('Ready', (object) => of(object, 'readyReplicas')),
	AGE,
	...WORKLOAD_WIDE,
	SELECTOR,
];

export const statefulsets: Column[] = [
	NAME,
	column('Ready', (object) => `${of(object, 'readyReplicas')}/${object.spec?.replicas ?? 0}`),
	AGE,
	...WORKLOAD_WIDE,
];

export const daemonsets: Column[] = [
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

export const controllerrevisions: Column[] = [
	NAME,
	column('Controller', controllerText),
	count('Revision', (object) => object['revision'] ?? 0),
	AGE,
];

function podStatus(pod: KubeObject): string {
	const statuses: Fields[] = pod.status?.containerStatuses ?? [];
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

function restarts(pod: KubeObject, now: number): string {
	const statuses: Fields[] = pod.status?.containerStatuses ?? [];
	const total = statuses.reduce((sum, entry) => sum + (entry.restartCount ?? 0), 0);
	const ends = statuses.map((entry) => entry.lastState?.terminated?.finishedAt).filter((time) => time);
	const last = Math.max(...ends.map((time) => Date.parse(time)));
	return total > 0 && ends.length > 0 ? `${total} (${duration((now - last) / 1000)} ago)` : String(total);
}

function readinessGates(pod: KubeObject): string {
	const gates: Fields[] = pod.spec?.readinessGates ?? [];
	if (gates.length === 0) return '<none>';
	const isTrue = (type: string) =>
		(pod.status?.conditions ?? []).some((entry: Fields) => entry.type === type && entry.status === 'True');
	return `${gates.filter((gate) => isTrue(gate.conditionType)).length}/${gates.length}`;
}

export const pods: Column[] = [
	NAME,
	column('Ready', (pod) => {
		const ready = (pod.status?.containerStatuses ?? []).filter((entry: Fields) => entry.ready).length;
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

function nodeStatus(node: KubeObject): string {
	const ready = (node.status?.conditions ?? []).find((entry: Fields) => entry.type === 'Ready');
	const status = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
	return node.spec?.unschedulable ? `${status},SchedulingDisabled` : status;
}

const ROLE = 'node-role.kubernetes.io/';
const addressOf = (type: string) => (node: KubeObject) =>
	(node.status?.addresses ?? []).find((entry: Fields) => entry.type === type)?.address ?? '<none>';
const infoOf = (field: string) => (node: KubeObject) => node.status?.nodeInfo?.[field] || '<unknown>';

export const nodes: Column[] = [
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

export const scales: Column[] = [
	NAME,
	count('Desired', (scale) => scale.spec?.replicas ?? 0),
	count('Available', (scale) => scale.status?.replicas ?? 0),
	AGE,
];
