/** One pod on one node, from its network to its end. Steps of a pod never overlap. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type NetnsSwitcher, netnsExists } from '../../bpf/netns.ts';
import { serviceVariables } from '../../model/service-env.ts';
import { nodeAddresses, type PodNumbers, podAddresses } from '../net/addresses.ts';
import { NETNS_ANNOTATION, podLinkName } from '../net/names.ts';
import {
	createPodNetwork,
	destroyPodNetwork,
	type PodNetwork,
	podNetworkExists,
} from '../net/pod-network.ts';
import type { PodServer } from '../podserver/client.ts';
import type { PortFailure } from '../podserver/messages.ts';
import type { KubeObject } from '../port.ts';
import { timestamp } from './container.ts';
import { type EnvFacts, hostnameOf, type SourceKind } from './env.ts';
import { PodContainers } from './pod-containers.ts';
import type { DnsFacts } from './pod-files.ts';
import { preparePodView, removePodView } from './pod-place.ts';
import type { ServiceAccountSource } from './service-account-files.ts';
import { type Place, resolveProgram } from './spawn.ts';
import type { ContainerFacts, PodFacts } from './status.ts';
import { planWorkload, servicePorts, unique, type Workload } from './workload.ts';

/** A node as its pods see it. */
export interface NodePlace {
	readonly name: string;
	readonly number: number;
	readonly netns: string;
	readonly cgroup: string | undefined;
	readonly numbers: PodNumbers;
}

export type Family = 'v4' | 'v6';

export interface RunnerDeps {
	/** Undefined without a network: pods are then only described. */
	readonly switcher: NetnsSwitcher | undefined;
	readonly server: PodServer | undefined;
	/** Primary family first. */
	readonly families: readonly Family[];
	readonly dns: DnsFacts;
	/** For files that pods see in place of the machine's. */
	readonly podDirectory: string;
	readonly logDirectory: string;
	/** What the pod's programs find as their service account. */
	readonly serviceAccount: ServiceAccountSource;
	readonly log: Logger;
	services(): Iterable<KubeObject>;
	dataOf(namespace: string, kind: SourceKind, name: string): Readonly<Record<string, string>> | undefined;
	/** Writes the status of the pod, and where it is. */
	publish(pod: KubeObject, facts: PodFacts, netns: string | undefined): void;
	/** Makes an event of the pod, once. */
	tell(pod: KubeObject, reason: string, message: string): void;
	/** Limits how many pods' networks are made at the same time. */
	limit<T>(action: () => Promise<T>): Promise<T>;
}

/** From the news that a pod is not ready to its end: long enough for endpoints and maps to follow. */
const NOTICE_MS = 150;

const DEFAULT_GRACE_SECONDS = 30;

export class PodRunner {
	readonly #deps: RunnerDeps;
	readonly #node: NodePlace;
	readonly #netns: string;
	readonly #startTime: Date;
	readonly #hurry = new AbortController();
	#pod: KubeObject;
	#work: Promise<void> = Promise.resolve();
	#number: number | undefined;
	#network: PodNetwork | undefined;
	/** The network is that of an earlier control plane. */
	#resumed = false;
	#plan: Workload | undefined;
	#place: Place | undefined;
	#containers: PodContainers | undefined;
	#failures: readonly PortFailure[] = [];
	#served = '';
	#error: string | undefined;
	#ending = false;
	/** The grace period is over: nothing is ready any more. */
	#over = false;

	constructor(deps: RunnerDeps, node: NodePlace, netns: string, pod: KubeObject) {
		this.#deps = deps;
		this.#node = node;
		this.#netns = netns;
		this.#pod = pod;
		this.#startTime = new Date(pod.status?.startTime ?? Date.now());
		// At once, before any pod takes the next free one
		if (!pod.spec?.hostNetwork) this.#number = node.numbers.claim(node.number, pod.status?.podIP);
	}

	get netns(): string {
		return this.#netns;
	}

	get pod(): KubeObject {
		return this.#pod;
	}

	/** Where its processes run; undefined until it has a network, or without any. */
	get place(): Place | undefined {
		return this.#place;
	}

	get containers(): PodContainers | undefined {
		return this.#containers;
	}

	/** Primary family first; empty while it has none. */
	get podIPs(): readonly string[] {
		return this.#podIPs();
	}

	/** @returns when it is started. */
	async start(): Promise<void> {
		this.#enqueue('start', async () => {
			if (this.#ending) return;
			await this.#makeNetwork();
			if (this.#isDone()) return;
			this.#plan = planWorkload(this.#pod, resolveProgram);
			await this.#makeContainers();
			await this.#serve();
			this.#containers?.start();
			this.#publish();
		});
		await this.#work;
	}

	/** The pod or a Service changed. */
	refresh(pod: KubeObject = this.#pod): void {
		this.#pod = pod;
		this.#enqueue('refresh', async () => {
			if (!this.#plan || this.#ending) return;
			await this.#serve();
			this.#publish();
		});
	}

	/**
	 * Lets what runs finish within the pod's grace period (0: at once), then removes everything. @returns when all is
	 * gone. A second call with less grace shortens the first.
	 */
	async end(graceSeconds: number): Promise<void> {
		const first = !this.#ending;
		this.#ending = true;
		if (graceSeconds <= 0) this.#hurry.abort();
		if (first) this.#enqueue('end', () => this.#end(graceSeconds * 1000));
		await this.#work;
	}

	#enqueue(step: string, action: () => Promise<void>): void {
		this.#work = this.#work.then(action).catch((cause: Error) => {
			this.#error = cause.message;
			const { namespace, name } = this.#pod.metadata;
			this.#deps.log.error({ event: 'pod_step_failed', step, namespace, pod: name, err: cause });
			if (!this.#ending) this.#publish();
		});
	}

	async #makeNetwork(): Promise<void> {
		if (!this.#pod.spec?.hostNetwork) this.#number ??= this.#node.numbers.take();
		const { switcher } = this.#deps;
		const network = this.#describeNetwork();
		this.#network = network;
		if (!switcher) return;
		this.#resumed = this.#isLeft(switcher, network);
		if (this.#resumed || !network) return;
		await this.#deps.limit(async () => {
			// Of an earlier pod of that name, or half made, when a control plane was killed
			if (netnsExists(network.netns)) await destroyPodNetwork(switcher, network);
			await createPodNetwork(switcher, network);
		});
	}

	/** Undefined where the pod has none of its own. */
	#describeNetwork(): PodNetwork | undefined {
		if (this.#number === undefined || !this.#deps.switcher) return undefined;
		const { namespace = 'default', name, uid = '' } = this.#pod.metadata;
		return {
			netns: this.#netns,
			nodeNetns: this.#node.netns,
			node: this.#node.number,
			link: podLinkName(namespace, name, uid),
			addresses: podAddresses(this.#node.number, this.#number),
		};
	}

	/** Under an earlier control plane it came to its end: nothing of it is run again. */
	#isDone(): boolean {
		const phase: string | undefined = this.#pod.status?.phase;
		return phase === 'Succeeded' || phase === 'Failed';
	}

	/** Whether an earlier control plane brought the pod up, and the network that it made, if any, is still there. */
	#isLeft(switcher: NetnsSwitcher, network: PodNetwork | undefined): boolean {
		if (this.#pod.metadata.annotations?.[NETNS_ANNOTATION] !== this.#netns) return false;
		return network === undefined || podNetworkExists(switcher, network);
	}

	#envFacts(): EnvFacts {
		const { services, dataOf } = this.#deps;
		const { metadata, spec } = this.#pod;
		const namespace = metadata.namespace ?? 'default';
		return {
			podIPs: this.#podIPs(),
			hostIPs: this.#hostIPs(),
			services: serviceVariables(services(), namespace, spec?.enableServiceLinks !== false),
			dataOf: (kind, name) => dataOf(namespace, kind, name),
		};
	}

	/** Opens what is missing; asks the server only when the answer differs from the last one. */
	async #serve(): Promise<void> {
		const { server } = this.#deps;
		const plan = this.#plan;
		if (!server || !plan) return;
		const fromServices =
			plan.servicePortsOf === undefined
				? []
				: servicePorts(this.#pod, this.#deps.services(), plan.servicePortsOf);
		const ports = unique([...plan.ports, ...fromServices]);
		const spec = {
			id: this.#pod.metadata.uid ?? '',
			netns: this.#netns,
			hostname: hostnameOf(this.#pod),
			behaviour: plan.behaviour,
			terminating: this.#ending,
			logs: this.#containers?.builtInLogs() ?? {},
			ports,
		};
		const wanted = JSON.stringify(spec);
		if (wanted === this.#served || (ports.length === 0 && this.#served === '')) return;
		this.#failures = await server.serve(spec);
		this.#served = wanted;
	}

	async #makeContainers(): Promise<void> {
		const { switcher, podDirectory, logDirectory, dns, serviceAccount, tell } = this.#deps;
		if (!switcher || !this.#plan) return;
		const account = await serviceAccount(this.#pod);
		if (typeof account === 'string') tell(this.#pod, 'FailedMount', account);
		const files = typeof account === 'string' ? undefined : account;
		const view = preparePodView(podDirectory, this.#pod, this.#podIPs(), dns, files);
		this.#place = { netns: this.#netns, cgroup: this.#node.cgroup, view };
		this.#containers = new PodContainers({
			pod: this.#pod,
			plan: this.#plan,
			switcher,
			place: this.#place,
			address: this.#podIPs()[0] ?? '127.0.0.1',
			graceMs: gracePeriodOf(this.#pod) * 1000,
			logDirectory,
			resumed: this.#resumed,
			envFacts: () => this.#envFacts(),
			onChange: () => this.refresh(),
			onEvent: (reason, message) => tell(this.#pod, reason, message),
		});
	}

	async #end(graceMs: number): Promise<void> {
		if (this.#plan && graceMs > 0) {
			await this.#serve();
			await Promise.race([this.#containers?.stop(graceMs), aborted(this.#hurry.signal)]);
			// while it still answers, every node may learn that it will not
			this.#over = true;
			this.#publish();
			await sleep(NOTICE_MS, undefined, { signal: this.#hurry.signal }).catch(() => {}); // hurried
		}
		await this.#containers?.stop(0);
		await this.#deps.server?.stop(this.#pod.metadata.uid ?? '');
		const network = this.#network;
		const { switcher } = this.#deps;
		if (network && switcher) await this.#deps.limit(() => destroyPodNetwork(switcher, network));
		removePodView(this.#deps.podDirectory, this.#pod);
		if (this.#number !== undefined) this.#node.numbers.release(this.#number);
	}

	#publish(): void {
		const facts = {
			podIPs: this.#plan ? this.#podIPs() : [],
			hostIPs: this.#hostIPs(),
			startTime: timestamp(this.#startTime),
			containers: this.#plan ? this.#containerFacts() : new Map(),
			now: timestamp(new Date()),
			...this.#message(),
		};
		this.#deps.publish(this.#pod, facts, this.#deps.switcher && this.#plan ? this.#netns : undefined);
	}

	#containerFacts(): Map<string, ContainerFacts> {
		const startedAt = timestamp(this.#startTime);
		const described: ContainerFacts = {
			state: { kind: 'running', startedAt },
			restarts: 0,
			started: true,
			ready: true,
		};
		return new Map(
			(this.#plan?.containers ?? []).map(({ name }) => {
				const facts = this.#containers?.facts(name) ?? described;
				return [name, this.#over ? { ...facts, ready: false } : facts];
			}),
		);
	}

	#message(): { message?: string } {
		const failed = this.#failures.map(({ reason }) => reason);
		const notes = [...(this.#error ? [this.#error] : []), ...failed, ...(this.#plan?.notes ?? [])];
		return notes.length === 0 ? {} : { message: notes.join('; ') };
	}

	#podIPs(): string[] {
		if (this.#pod.spec?.hostNetwork) return this.#hostIPs();
		if (this.#number === undefined) return [];
		const addresses = podAddresses(this.#node.number, this.#number);
		return this.#deps.families.map((family) => addresses[family]);
	}

	#hostIPs(): string[] {
		const addresses = nodeAddresses(this.#node.number);
		return this.#deps.families.map((family) => addresses[family]);
	}
}

export function gracePeriodOf(pod: KubeObject): number {
	return (
		pod.metadata.deletionGracePeriodSeconds ??
		pod.spec?.terminationGracePeriodSeconds ??
		DEFAULT_GRACE_SECONDS
	);
}

function aborted(signal: AbortSignal): Promise<void> {
	return new Promise((resolve) => {
		if (signal.aborted) resolve();
		else signal.addEventListener('abort', () => resolve(), { once: true });
	});
}
