import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Fields } from '../../fields.ts';
import { type Driver, type NodeInfo, openDriver, type Place } from './cluster.ts';
import { client, GATE } from './objects.ts';
import type { Answer } from './probe-messages.ts';
import type { Prober, RequestOptions } from './prober.ts';
import { run } from './process.ts';
import { type ServiceView, viewOf } from './service-view.ts';
import { openShared } from './shared-cluster.ts';
import { eventually } from './wait.ts';

/** An object as the API gives it. */
export type Json = Fields;

/** A place. A pod without a namespace is in the tests' namespace. */
export type From = Place | { pod: string };

/** One file of scenarios with its own namespace in a cluster. */
export class Environment implements AsyncDisposable {
	readonly driver: Driver;
	readonly namespace: string;
	readonly nodes: readonly NodeInfo[];
	readonly #probers = new Map<string, Promise<Prober>>();

	private constructor(driver: Driver, namespace: string, nodes: readonly NodeInfo[]) {
		this.driver = driver;
		this.namespace = namespace;
		this.nodes = nodes;
	}

	/**
	 * @param name of the file, used in the names of the namespace and of a started cluster
	 * @param given a cluster to use instead, which is closed with the environment
	 */
	static async open(name: string, given?: Driver): Promise<Environment> {
		const driver = given ?? (await openDriver(`e2e${name.replaceAll('-', '').slice(0, 10)}`));
		try {
			const { items } = JSON.parse(await kubectl(driver, ['get', 'nodes', '-o', 'json']));
			const env = new Environment(
				driver,
				`e2e-${name}-${randomBytes(2).toString('hex')}`,
				(items as Json[]).filter(isWorker).map(nodeInfo),
			);
			await env.kubectl('create', 'namespace', env.namespace);
			return env;
		} catch (error) {
			await driver.close();
			throw error;
		}
	}

	/** Opens an environment in the shared cluster of three nodes and two zones. */
	static async shared(name: string): Promise<Environment> {
		return Environment.open(name, await openShared());
	}

	/**
	 * Starts a client pod without a server on every node.
	 * @returns the pods in the order of the nodes
	 */
	async clients(): Promise<{ pod: string }[]> {
		const names = this.nodes.map(({ name }) => `client-${name}`);
		await this.apply(...this.nodes.map(({ name }) => client(`client-${name}`, name)));
		for (const name of names) await this.podsReady(name, 1);
		return names.map((pod) => ({ pod }));
	}

	/** The host network of every node, as places. */
	hosts(): { node: string }[] {
		return this.nodes.map(({ name }) => ({ node: name }));
	}

	async service(name: string): Promise<ServiceView> {
		return viewOf((await this.get('service', name)).spec);
	}

	/** Applies a strategic merge patch. */
	async patch(resource: string, name: string, change: object): Promise<void> {
		await this.kubectl('patch', resource, name, '-p', JSON.stringify(change));
	}

	/** Assigns addresses to a Service of type LoadBalancer. */
	async ingress(name: string, addresses: readonly string[]): Promise<void> {
		const status = { loadBalancer: { ingress: addresses.map((ip) => ({ ip })) } };
		const patch = ['--subresource=status', '--type=merge', '-p', JSON.stringify({ status })];
		await this.kubectl('patch', 'service', name, ...patch);
	}

	/** The addresses of the pod, primary family first. */
	async addressesOf(pod: string): Promise<string[]> {
		return (await this.get('pod', pod)).status.podIPs.map(({ ip }: Json) => ip);
	}

	/**
	 * The source addresses that backends see for requests from the place. A request that times out,
	 * as on a busy machine, shows no address: all are sent again.
	 */
	async sources(from: From, target: Target): Promise<string[]> {
		const prober = await this.prober(from);
		const { host, port, udp } = target;
		const options = { count: 16, timeoutMs: 3000 };
		const { value } = await eventually(
			`${prober.where} gets 16 answers from ${describe(target)}`,
			async () => {
				const answers = udp
					? await prober.udp(host, port, 'clientip', options)
					: await prober.http(host, port, '/clientip', options);
				const shown = answers.map(({ body, error }) => body?.replace(/^\[?([^\]]*)\]?:\d+$/, '$1') ?? error!);
				if (shown.includes('timeout')) throw new Error(`It got ${shown}`);
				return [...new Set(shown)];
			},
		);
		return value;
	}

	/** Sets the condition of the pod's readiness gate. */
	async gate(pod: string, open: boolean): Promise<void> {
		const status = { conditions: [{ type: GATE, status: open ? 'True' : 'False' }] };
		const patch = ['--subresource=status', '--type=strategic', '-p', JSON.stringify({ status })];
		await this.kubectl('patch', 'pod', pod, ...patch);
	}

	/** Deletes the pod without waiting for its end. */
	async terminate(pod: string): Promise<void> {
		await this.kubectl('delete', 'pod', pod, '--wait=false');
	}

	kubectl(...args: string[]): Promise<string> {
		return kubectl(this.driver, ['--namespace', this.namespace, ...args]);
	}

	/** Runs kubectl with an input. */
	kubectlInput(input: string, ...args: string[]): Promise<string> {
		return kubectl(this.driver, ['--namespace', this.namespace, ...args], input);
	}

	async get(resource: string, name?: string): Promise<Json> {
		return JSON.parse(await this.kubectl('get', resource, ...(name ? [name] : []), '-o', 'json'));
	}

	async apply(...manifests: object[]): Promise<void> {
		const documents = manifests.map((manifest) => JSON.stringify(manifest)).join('\n');
		await this.kubectlInput(documents, 'apply', '-f', '-');
	}

	/** Applies an unmodified manifest file. */
	async applyFile(file: string): Promise<void> {
		await this.kubectlInput(await readFile(file, 'utf8'), 'apply', '-f', '-');
	}

	/** Names of the pods with the label that are not terminating. */
	async podNames(app: string): Promise<string[]> {
		const { items } = JSON.parse(await this.kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json'));
		const live = (items as Json[]).filter(({ metadata }) => !metadata.deletionTimestamp);
		return live.map(({ metadata }) => metadata.name);
	}

	/** Waits until exactly `count` pods have the label and are ready. */
	async podsReady(app: string, count: number): Promise<void> {
		await eventually(
			`${count} pods of ${app} are ready`,
			async () => {
				const { items } = JSON.parse(await this.kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json'));
				const live = (items as Json[]).filter(({ metadata }) => !metadata.deletionTimestamp);
				return live.length === count && live.every(isReady) ? true : undefined;
			},
			60_000,
			100,
		);
	}

	/** The probe process of a place, one for the whole file. */
	prober(place: From): Promise<Prober> {
		const full: Place =
			place !== 'outside' && 'pod' in place && !('namespace' in place)
				? { pod: place.pod, namespace: this.namespace }
				: (place as Place);
		const key = JSON.stringify(full);
		const known = this.#probers.get(key) ?? this.driver.startProbe(full);
		this.#probers.set(key, known);
		return known;
	}

	/** Waits until `count` consecutive requests succeed and exactly these hostnames answer them. */
	async reaches(from: From, target: Target, hostnames: readonly string[]): Promise<number> {
		const prober = await this.prober(from);
		const wanted = hostnames.toSorted().join();
		const count = Math.max(10, hostnames.length * 8);
		const { ms } = await eventually(
			`${prober.where} reaches ${wanted} through ${describe(target)}`,
			async () => {
				const answers = await ask(prober, target, { count });
				const seen = [...new Set(answers.map(({ body, error }) => body ?? error))].sort().join();
				if (seen === wanted) return true;
				throw new Error(`It saw ${seen}`);
			},
			30_000,
		);
		return ms;
	}

	/** Waits until every request fails with one of the errors. */
	async fails(from: From, target: Target, ...errors: string[]): Promise<number> {
		const prober = await this.prober(from);
		const { ms } = await eventually(`${prober.where} gets ${errors} from ${describe(target)}`, async () => {
			const answers = await ask(prober, target, { count: 5, timeoutMs: 500 });
			if (answers.every(({ error }) => error && (errors.length === 0 || errors.includes(error)))) return true;
			throw new Error(`It got ${answers.map(({ body, error }) => error ?? body)}`);
		});
		return ms;
	}

	/** Calls `reaches` for each place concurrently, and for each target. */
	async allReach(
		places: readonly From[],
		targets: readonly Target[],
		hostnames: readonly string[],
	): Promise<void> {
		await Promise.all(
			places.map(async (place) => {
				for (const target of targets) await this.reaches(place, target, hostnames);
			}),
		);
	}

	/** Calls `fails` for each place and each target. */
	async allFail(
		places: readonly From[],
		targets: readonly Target[],
		...errors: readonly string[]
	): Promise<void> {
		await Promise.all(
			places.flatMap((place) => targets.map((target) => this.fails(place, target, ...errors))),
		);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const probers = await Promise.allSettled(this.#probers.values());
		for (const prober of probers) if (prober.status === 'fulfilled') prober.value[Symbol.dispose]();
		try {
			await this.kubectl('delete', 'namespace', this.namespace, '--ignore-not-found', '--wait=false');
		} finally {
			await this.driver.close();
		}
	}
}

export interface Target {
	host: string;
	port: number;
	udp?: boolean;
}

export function ask(
	prober: Prober,
	{ host, port, udp }: Target,
	options: RequestOptions = {},
): Promise<Answer[]> {
	return udp ? prober.udp(host, port, 'hostname', options) : prober.http(host, port, '/hostname', options);
}

export function describe({ host, port, udp }: Target): string {
	return `${udp ? 'udp' : 'tcp'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function kubectl(driver: Driver, args: string[], input?: string): Promise<string> {
	return run('kubectl', ['--kubeconfig', driver.kubeconfig, ...args], input);
}

function isReady(pod: Json): boolean {
	return pod.status?.conditions?.some((c: Json) => c.type === 'Ready' && c.status === 'True') ?? false;
}

function isWorker(node: Json): boolean {
	return !('node-role.kubernetes.io/control-plane' in (node.metadata.labels ?? {}));
}

function nodeInfo(node: Json): NodeInfo {
	const addresses: { type: string; address: string }[] = node.status.addresses ?? [];
	const internal = addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address);
	const v4 = internal.find((address) => !address.includes(':'));
	const v6 = internal.find((address) => address.includes(':'));
	const zone: string | undefined = node.metadata.labels?.['topology.kubernetes.io/zone'];
	const known = { ...(v4 ? { v4 } : {}), ...(v6 ? { v6 } : {}), ...(zone ? { zone } : {}) };
	return { name: node.metadata.name, ...known };
}
