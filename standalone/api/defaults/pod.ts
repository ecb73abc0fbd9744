import type { ContainerDraft, Incoming, Pod, PodSpecDraft } from '../../port.ts';

type VolumeDraft = NonNullable<PodSpecDraft['volumes']>[number];

const HTTP_SCHEME = 'HTTP';

function defaultProbe(probe: ContainerDraft['livenessProbe']): void {
	if (!probe) return;
	probe.timeoutSeconds ??= 1;
	probe.periodSeconds ??= 10;
	probe.successThreshold ??= 1;
	probe.failureThreshold ??= 3;
	if (probe.httpGet) {
		probe.httpGet.path ??= '/';
		probe.httpGet.scheme ??= HTTP_SCHEME;
	}
	if (probe.grpc) probe.grpc.service ??= '';
}

/** Always for the tag `latest` or no tag, else IfNotPresent. */
function pullPolicy(image: unknown): string {
	const last =
		String(image ?? '')
			.split('/')
			.at(-1) ?? '';
	if (last.includes('@')) return 'IfNotPresent';
	const tag = last.includes(':') ? last.slice(last.indexOf(':') + 1) : 'latest';
	return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultContainer(container: ContainerDraft, hostNetwork: boolean): void {
	if (typeof container !== 'object' || container === null) return;
	container.resources ??= {};
	container.terminationMessagePath ??= '/dev/termination-log';
	container.terminationMessagePolicy ??= 'File';
	container.imagePullPolicy ??= pullPolicy(container.image);
	for (const port of container.ports ?? []) {
		port.protocol ??= 'TCP';
		if (hostNetwork) port.hostPort ??= port.containerPort;
	}
	for (const env of container.env ?? [])
		if (env.valueFrom?.fieldRef) env.valueFrom.fieldRef.apiVersion ??= 'v1';
	for (const probe of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const)
		defaultProbe(container[probe]);
	for (const hook of [container.lifecycle?.postStart, container.lifecycle?.preStop])
		if (hook?.httpGet) {
			hook.httpGet.path ??= '/';
			hook.httpGet.scheme ??= HTTP_SCHEME;
		}
	for (const [name, limit] of Object.entries(container.resources.limits ?? {})) {
		container.resources.requests ??= {};
		container.resources.requests[name] ??= limit;
	}
}

const VOLUME_MODES = ['configMap', 'secret', 'projected', 'downwardAPI'] as const;
const MODE_0644 = 0o644;

function defaultVolume(volume: VolumeDraft): void {
	for (const source of VOLUME_MODES) if (volume?.[source]) volume[source].defaultMode ??= MODE_0644;
	if (volume?.hostPath) volume.hostPath.type ??= '';
}

/** Defaults of a PodSpec, in a Pod or in a template. */
export function defaultPodSpec(spec: PodSpecDraft): void {
	if (typeof spec !== 'object' || spec === null) return;
	spec.restartPolicy ??= 'Always';
	spec.terminationGracePeriodSeconds ??= 30;
	spec.dnsPolicy ??= 'ClusterFirst';
	if (spec.serviceAccountName && !spec.serviceAccount) spec.serviceAccount = spec.serviceAccountName;
	if (spec.serviceAccount && !spec.serviceAccountName) spec.serviceAccountName = spec.serviceAccount;
	spec.securityContext ??= {};
	spec.schedulerName ??= 'default-scheduler';
	for (const list of [spec.containers, spec.initContainers])
		for (const container of Array.isArray(list) ? list : [])
			defaultContainer(container, spec.hostNetwork === true);
	for (const volume of Array.isArray(spec.volumes) ? spec.volumes : []) defaultVolume(volume);
}

/**
 * Adds the defaults of a Pod that a template lacks: fields of the admission plugins and an initial
 * status.
 */
export function defaultPod(pod: Incoming<Pod>): void {
	pod.spec ??= {};
	defaultPodSpec(pod.spec);
	pod.spec.enableServiceLinks ??= true;
	pod.spec.serviceAccountName ??= 'default';
	pod.spec.serviceAccount ??= pod.spec.serviceAccountName;
	pod.spec.preemptionPolicy ??= 'PreemptLowerPriority';
	pod.spec.priority ??= 0;
	pod.status ??= {};
	pod.status.phase ??= 'Pending';
	pod.status.qosClass ??= qosClass(pod.spec);
}

function qosClass(spec: PodSpecDraft): string {
	const containers = Array.isArray(spec.containers) ? spec.containers : [];
	const of = (container: ContainerDraft, part: 'limits' | 'requests'): Record<string, string | undefined> =>
		container?.resources?.[part] ?? {};
	const size = (map: object) => Object.keys(map).length;
	if (containers.every((entry) => size(of(entry, 'limits')) + size(of(entry, 'requests')) === 0))
		return 'BestEffort';
	const guaranteed = containers.every((entry) =>
		['cpu', 'memory'].every((name) => {
			const limit = of(entry, 'limits')[name];
			return limit !== undefined && of(entry, 'requests')[name] === limit;
		}),
	);
	return guaranteed ? 'Guaranteed' : 'Burstable';
}
