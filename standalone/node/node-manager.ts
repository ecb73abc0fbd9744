/**
 * Implements the kubelets: starts a runner for every pod on our nodes and ends the runners of
 * deleted pods.
 */
import { rmSync } from 'node:fs';
import type { Logger } from 'pino';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { PodNumbers } from '../net/addresses.ts';
import { NETNS_ANNOTATION, nodeName, nodeNamespace, podNamespace } from '../net/names.ts';
import type { PodServer } from '../podserver/client.ts';
import type { ObjectApi, ObjectEvent, Pod, Secret, Service } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { warningEvent } from '../warning-event.ts';
import type { SourceKind } from './env.ts';
import { createLimit } from './limit.ts';
import type { DnsFacts } from './pod-files.ts';
import { podLogDirectory } from './pod-place.ts';
import { type Family, gracePeriodOf, type NodePlace, PodRunner, type RunnerDeps } from './pod-runner.ts';
import type { ServiceAccountSource } from './service-account-files.ts';
import { type PodFacts, podStatus } from './status.ts';

export interface NodeManagerOptions {
	readonly objects: ObjectApi;
	readonly prefix: string;
	readonly nodes: number;
	readonly families: readonly Family[];
	/** Undefined without a network: pods exist only as objects. */
	readonly switcher: NetnsSwitcher | undefined;
	readonly server: PodServer | undefined;
	/** The cgroup directory of a node; undefined without cgroup v2. */
	readonly cgroupOf: (node: string) => string | undefined;
	readonly dns: DnsFacts;
	/** Directory of files that pods see instead of the machine's. */
	readonly podDirectory: string;
	/** Directory of the output of pods' containers. */
	readonly logDirectory: string;
	readonly serviceAccount: ServiceAccountSource;
	readonly log: Logger;
}

const NETWORKS_AT_ONCE = 6;

export class NodeManager {
	readonly #options: NodeManagerOptions;
	readonly #places = new Map<string, NodePlace>();
	readonly #runners = new Map<string, PodRunner>();
	readonly #deps: RunnerDeps;
	readonly #stops: (() => void)[] = [];
	#stopping = false;

	constructor(options: NodeManagerOptions) {
		this.#options = options;
		const { objects, switcher, server, families, dns, podDirectory, logDirectory, serviceAccount, log } =
			options;
		for (let number = 1; number <= options.nodes; number++) {
			const name = nodeName(number);
			this.#places.set(name, {
				name,
				number,
				netns: nodeNamespace(options.prefix, name),
				cgroup: options.cgroupOf(name),
				numbers: new PodNumbers(),
			});
		}
		this.#deps = {
			switcher,
			server,
			families,
			dns,
			podDirectory,
			logDirectory,
			serviceAccount,
			log,
			services: () => objects.list('services'),
			dataOf: (namespace, kind, name) => readData(objects, namespace, kind, name),
			tell: (pod, reason, message) => this.#tell(pod, reason, message),
			publish: (pod, facts, netns) => this.#publish(pod, facts, netns),
			limit: createLimit(NETWORKS_AT_ONCE),
		};
	}

	/** Starts to watch. Pods that an earlier control plane left running continue. */
	start(): void {
		const { objects, server } = this.#options;
		this.#stops.push(objects.watch('pods', (event) => this.#onPod(event)));
		server?.retain([...this.#runners.keys()]);
		this.#stops.push(objects.watch('services', (event) => this.#onService(event)));
	}

	/** The runner of a pod, by the pod's uid. */
	runner(uid: string): PodRunner | undefined {
		return this.#runners.get(uid);
	}

	/** Namespaces of all running pods. */
	get namespaces(): Set<string> {
		return new Set([...this.#runners.values()].map((runner) => runner.netns));
	}

	/** Ends all pods at once and leaves their objects unchanged. */
	async stop(): Promise<void> {
		this.#stopping = true;
		for (const stop of this.#stops) stop();
		await Promise.all([...this.#runners.values()].map((runner) => runner.end(0)));
	}

	#onPod({ type, object }: ObjectEvent<Pod>): void {
		const { uid = '', deletionTimestamp } = object.metadata;
		const place = this.#places.get(object.spec?.nodeName ?? '');
		const runner = this.#runners.get(uid);
		if (type === 'DELETED') {
			if (runner) void this.#finish(uid, runner, 0);
		} else if (runner) {
			if (deletionTimestamp) void this.#finish(uid, runner, gracePeriodOf(object));
			else runner.refresh(object);
		} else if (place) {
			const started = this.#begin(uid, place, object);
			// Its termination had begun, or no control plane was running to begin it
			if (deletionTimestamp) void started.then((one) => this.#finish(uid, one, gracePeriodOf(object)));
		}
	}

	async #begin(uid: string, place: NodePlace, pod: Pod): Promise<PodRunner> {
		const { namespace = 'default', name } = pod.metadata;
		const used = this.namespaces;
		const netns = pod.spec?.hostNetwork
			? place.netns
			: podNamespace(this.#options.prefix, namespace, name, (taken) => used.has(taken));
		const runner = new PodRunner(this.#deps, place, netns, pod);
		this.#runners.set(uid, runner);
		await runner.start();
		return runner;
	}

	async #finish(uid: string, runner: PodRunner, grace: number): Promise<void> {
		await runner.end(grace);
		if (!this.#runners.delete(uid) || this.#stopping) return;
		rmSync(podLogDirectory(this.#options.logDirectory, runner.pod), { recursive: true, force: true });
		this.#forget(runner.pod);
	}

	/**
	 * Deletes the pod's object after the pod has ended, unless it is already gone or another pod has
	 * the name.
	 */
	#forget(pod: Pod): void {
		const { namespace, name, uid } = pod.metadata;
		const stored = this.#options.objects.get('pods', namespace, name);
		if (stored?.metadata.uid === uid) this.#options.objects.delete('pods', namespace, name, 0);
	}

	#onService({ object }: ObjectEvent<Service>): void {
		for (const runner of this.#runners.values())
			if (runner.pod.metadata.namespace === object.metadata.namespace) runner.refresh();
	}

	#publish(pod: Pod, facts: PodFacts, netns: string | undefined): void {
		const { objects, log } = this.#options;
		const { namespace, name, uid } = pod.metadata;
		const stored = objects.get('pods', namespace, name);
		if (!stored || stored.metadata.uid !== uid || this.#stopping) return;
		try {
			const annotations = netns && { ...stored.metadata.annotations, [NETNS_ANNOTATION]: netns };
			const metadata = annotations ? { ...stored.metadata, annotations } : stored.metadata;
			objects.update('pods', { ...stored, metadata, status: podStatus(stored, facts) }, 'status');
			// Also emit a status message as an Event, where users look for it
			if (facts.message !== undefined) this.#tell(stored, 'NotAsAsked', facts.message);
		} catch (err) {
			log.error({ event: 'pod_status_failed', namespace, pod: name, err });
		}
	}

	#tell(pod: Pod, reason: string, message: string): void {
		const { objects, log } = this.#options;
		const event = warningEvent(pod, { reason, message, host: pod.spec?.nodeName }, timestamp(Date.now()));
		const { namespace, name } = event.metadata;
		try {
			if (!objects.get('events', namespace, name)) objects.create('events', event);
		} catch (err) {
			log.error({ event: 'pod_event_failed', namespace, pod: pod.metadata.name, err });
		}
	}
}

function readData(
	objects: ObjectApi,
	namespace: string,
	kind: SourceKind,
	name: string,
): Record<string, string> | undefined {
	const object = objects.get(`${kind}s`, namespace, name);
	if (!object) return undefined;
	const data = object.data ?? {};
	if (kind === 'configmap') return data;
	const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
	return { ...Object.fromEntries(decoded), ...(object as Secret).stringData };
}
