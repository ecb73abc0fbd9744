/**
 * Runs one pod on one node, from its network setup to its removal. Steps of a pod never overlap.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type NetnsSwitcher, netnsExists } from '../../agent/bpf/netns.ts';
import { serviceVariables } from '../../agent/model/service-env.ts';
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
import type { Pod, Service } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { type EnvFacts, hostnameOf, type SourceKind } from './env.ts';
import { makePodCgroups, type PodCgroups, podCgroups, removePodCgroups } from './pod-cgroups.ts';
import { PodContainers } from './pod-containers.ts';
import type { DnsFacts } from './pod-files.ts';
import { preparePodView, removePodView } from './pod-place.ts';
import type { ServiceAccountSource } from './service-account-files.ts';
import { type Place, resolveProgram } from './spawn.ts';
import type { ContainerFacts, PodFacts } from './status.ts';
import { planWorkload, servicePorts, unique, type Workload } from './workload.ts';

/** A node, with the properties that its pods need. */
export interface NodePlace {
	readonly name: string;
	readonly number: number;
	readonly netns: string;
	readonly cgroup: string | undefined;
	readonly numbers: PodNumbers;
}

export type Family = 'v4' | 'v6';

export interface RunnerDeps {
	/** Undefined without a network: pods exist only as objects. */
	readonly switcher: NetnsSwitcher | undefined;
	readonly server: PodServer | undefined;
	/** The primary family first. */
	readonly families: readonly Family[];
	readonly dns: DnsFacts;
	/** Directory of files that pods see instead of the machine's. */
	readonly podDirectory: string;
	readonly logDirectory: string;
	/** Provides the service account files of the pod's programs. */
	readonly serviceAccount: ServiceAccountSource;
	readonly log: Logger;
	services(): Iterable<Service>;
	dataOf(namespace: string, kind: SourceKind, name: string): Readonly<Record<string, string>> | undefined;
	/** Writes the pod's status and the name of its network namespace. */
	publish(pod: Pod, facts: PodFacts, netns: string | undefined): void;
	/** Emits an Event of the pod, once. */
	tell(pod: Pod, reason: string, message: string): void;
	/** Limits the number of pod networks created concurrently. */
	limit<T>(action: () => Promise<T>): Promise<T>;
}

/** Time from reporting a pod as not ready to its end. Endpoints and maps are updated within it. */
const NOTICE_MS = 150;

const DEFAULT_GRACE_SECONDS = 30;

export class PodRunner {
	readonly #deps: RunnerDeps;
	readonly #node: NodePlace;
	readonly #netns: string;
	readonly #startTime: Date;
	readonly #hurry = new AbortController();
	#pod: Pod;
	#work: Promise<void> = Promise.resolve();
	#number: number | undefined;
	#network: PodNetwork | undefined;
	/** Whether the network is from an earlier control plane. */
	#resumed = false;
	#plan: Workload | undefined;
	#place: Place | undefined;
	#containers: PodContainers | undefined;
	#failures: readonly PortFailure[] = [];
	#served = '';
	#error: string | undefined;
	#ending = false;
	/** Whether the grace period is over. Containers then report not ready. */
	#over = false;

	constructor(deps: RunnerDeps, node: NodePlace, netns: string, pod: Pod) {
		this.#deps = deps;
		this.#node = node;
		this.#netns = netns;
		this.#pod = pod;
		this.#startTime = new Date(pod.status?.startTime ?? Date.now());
		// Claim the number now, before another pod takes it as the next free one
		if (!pod.spec?.hostNetwork) this.#number = node.numbers.claim(node.number, pod.status?.podIP);
	}

	get netns(): string {
		return this.#netns;
	}

	get pod(): Pod {
		return this.#pod;
	}

	/** Where the pod's processes run; undefined before it has a network, or without one. */
	get place(): Place | undefined {
		return this.#place;
	}

	get containers(): PodContainers | undefined {
		return this.#containers;
	}

	/** The primary family first; empty while the pod has no address. */
	get podIPs(): readonly string[] {
		return this.#podIPs();
	}

	/** Resolves when the pod is started. */
	async start(): Promise<void> {
		this.#enqueue('start', async () => {
			if (this.#ending) return;
			if (this.#cgroups) makePodCgroups(this.#cgroups);
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

	/** Called after a change of the pod or of a Service. */
	refresh(pod: Pod = this.#pod): void {
		this.#pod = pod;
		this.#enqueue('refresh', async () => {
			if (!this.#plan || this.#ending) return;
			await this.#serve();
			this.#publish();
		});
	}

	/**
	 * Lets the pod's processes end within the grace period (0: kills them at once), then removes all
	 * its parts. Resolves when that is done. A second call with a grace period of 0 cuts the first
	 * short.
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
			// From an earlier pod of that name, or incomplete after a control plane was killed
			if (netnsExists(network.netns)) await destroyPodNetwork(switcher, network);
			await createPodNetwork(switcher, network);
		});
	}

	/** Undefined without cgroup v2 or without a network. */
	get #cgroups(): PodCgroups | undefined {
		const { cgroup } = this.#node;
		return cgroup === undefined || !this.#deps.switcher ? undefined : podCgroups(cgroup, this.#pod);
	}

	/** Undefined if the pod has no network of its own. */
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

	/** Whether the pod has ended under an earlier control plane. It is not run again. */
	#isDone(): boolean {
		const phase = this.#pod.status?.phase;
		return phase === 'Succeeded' || phase === 'Failed';
	}

	/**
	 * Whether an earlier control plane started the pod, and the pod's network, if it has its own,
	 * still exists.
	 */
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

	/** Sends the pod's ports to the built-in server. Skips the request if it equals the last one. */
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
		this.#place = { netns: this.#netns, cgroup: this.#cgroups?.programs, view };
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
			// report it before it stops answering, so that every node can remove the endpoint
			this.#over = true;
			this.#publish();
			await sleep(NOTICE_MS, undefined, { signal: this.#hurry.signal }).catch(() => {}); // aborted: the second call cuts the wait short
		}
		await this.#containers?.stop(0);
		await this.#deps.server?.stop(this.#pod.metadata.uid ?? '');
		const network = this.#network;
		const { switcher } = this.#deps;
		if (network && switcher) await this.#deps.limit(() => destroyPodNetwork(switcher, network));
		removePodView(this.#deps.podDirectory, this.#pod);
		if (this.#cgroups) removePodCgroups(this.#cgroups);
		if (this.#number !== undefined) this.#node.numbers.release(this.#number);
	}

	#publish(): void {
		const facts = {
			podIPs: this.#plan ? this.#podIPs() : [],
			hostIPs: this.#hostIPs(),
			startTime: timestamp(this.#startTime.getTime()),
			containers: this.#plan ? this.#containerFacts() : new Map(),
			now: timestamp(Date.now()),
			...this.#message(),
		};
		this.#deps.publish(this.#pod, facts, this.#deps.switcher && this.#plan ? this.#netns : undefined);
	}

	#containerFacts(): Map<string, ContainerFacts> {
		const startedAt = timestamp(this.#startTime.getTime());
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

export function gracePeriodOf(pod: Pod): number {
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
