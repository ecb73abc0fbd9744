/** Reads the demo's application from YAML, creates it and waits for it. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../../standalone/cluster/api-client.ts';
import { parseManifests } from '../../standalone/cluster/manifests.ts';
import type { Deployment, EndpointSlice, KubeObject, Node, Pod, Service } from '../../standalone/port.ts';

/**
 * Creates the objects in the file's order. @returns kinds that the server does not know; they are
 * skipped
 */
export async function applyFile(api: ApiClient, file: string): Promise<string[]> {
	const unknown = new Set<string>();
	for (const object of parseManifests(readFileSync(file, 'utf8'), file)) {
		const collection = await api.collection(object);
		if (collection === undefined) unknown.add(String(object.kind));
		else await api.post(collection.path, object);
	}
	return [...unknown];
}

export interface Application {
	readonly services: readonly Service[];
	readonly nodes: readonly Node[];
	/** Names of pods, to recognise answers. */
	readonly pods: ReadonlySet<string>;
}

const POLL_MS = 50;

/**
 * Waits until every pod is ready and in the EndpointSlices of the Services that select it.
 * @throws Error with the missing objects after the timeout
 */
export async function waitForApplication(
	api: ApiClient,
	timeoutMs: number,
	signal: AbortSignal,
): Promise<Application> {
	const deadline = Date.now() + timeoutMs;
	for (;;) {
		const waiting = await notReady(api);
		if (waiting.length === 0) break;
		if (Date.now() > deadline)
			throw new Error(`Not ready after ${timeoutMs / 1000} s: ${waiting.join(', ')}`);
		await sleep(POLL_MS, undefined, { signal });
	}
	const [services, nodes, pods] = await Promise.all([
		api.list<Service>('/api/v1/services'),
		api.list<Node>('/api/v1/nodes'),
		api.list<Pod>('/api/v1/pods'),
	]);
	return { services, nodes, pods: new Set(pods.map((pod) => pod.metadata.name)) };
}

async function notReady(api: ApiClient): Promise<string[]> {
	const [deployments, pods, services, slices] = await Promise.all([
		api.list<Deployment>('/apis/apps/v1/deployments'),
		api.list<Pod>('/api/v1/pods'),
		api.list<Service>('/api/v1/services'),
		api.list<EndpointSlice>('/apis/discovery.k8s.io/v1/endpointslices'),
	]);
	const waiting: string[] = [];
	for (const { metadata, spec, status } of deployments)
		if ((status?.readyReplicas ?? 0) !== (spec?.replicas ?? 1)) waiting.push(`Deployment ${metadata.name}`);
	for (const pod of pods) if (!isReady(pod)) waiting.push(`Pod ${pod.metadata.name}`);
	for (const service of services) {
		const expected = pods.filter((pod) => selects(service, pod)).length;
		if (expected > readyEndpoints(service, slices)) waiting.push(`endpoints of ${service.metadata.name}`);
	}
	return waiting;
}

function isReady(pod: Pod): boolean {
	const conditions = pod.status?.conditions ?? [];
	return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
}

/** Whether the Service's selector matches the pod. */
export function selects(service: Service, pod: Pick<KubeObject, 'metadata'>): boolean {
	const selector = Object.entries(service.spec?.selector ?? {});
	return (
		selector.length > 0 &&
		service.metadata.namespace === pod.metadata.namespace &&
		selector.every(([key, value]) => pod.metadata.labels?.[key] === value)
	);
}

/** The count of the family with the fewest: each family needs all endpoints. */
function readyEndpoints(service: Service, slices: readonly EndpointSlice[]): number {
	const families = service.spec?.ipFamilies ?? [];
	const own = slices.filter(
		({ metadata }) =>
			metadata.namespace === service.metadata.namespace &&
			metadata.labels?.['kubernetes.io/service-name'] === service.metadata.name,
	);
	const counts = families.map((family) =>
		own
			.filter((slice) => slice.addressType === family)
			.reduce((sum, slice) => sum + slice.endpoints!.filter((one) => one.conditions?.ready).length, 0),
	);
	return counts.length === 0 ? 0 : Math.min(...counts);
}
