import { SERVICE_CIDRS_MAX, type Settings } from './abi/layout.ts';
import { matchesAll } from './model/cidr.ts';
import { type HealthCheckService, healthChecks } from './model/health.ts';
import { parseIp } from './model/ip.ts';
import { primaryAddress } from './model/node.ts';
import { type OwnServer, withOwnServer } from './model/own-server.ts';
import { type EndpointsKind, Store } from './model/store.ts';
import { translate } from './model/translate.ts';
import type { EndpointSource, Service } from './model/types.ts';
import { acknowledge, applyPlan } from './plan/apply.ts';
import { REST_MS } from './plan/ids.ts';
import { type KernelState, readKernel, serviceCidrsOf } from './plan/kernel.ts';
import { countPlan, type Plan, planSize, printPlan } from './plan/plan.ts';
import { Planner } from './plan/planner.ts';
import { type NoLocalEndpoints, noLocalEndpoints, type ServiceView, serviceViews } from './plan/view.ts';
import type {
	RawSink,
	RawSinks,
	ReconcilerOptions,
	ReconcilerSnapshot,
	SyncReport,
} from './reconcile-types.ts';

export type * from './reconcile-types.ts';

const BACKOFF = { first: 100, longest: 10_000 } as const;

/** Keeps the kernel's maps equal to what the API server's objects mean. Its state is in its parts; this is the loop. */
export class Reconciler {
	readonly #options: ReconcilerOptions;
	readonly #store: Store;
	readonly #planner: Planner;
	/** Resources that have not been listed; the node stays until it has been seen. */
	readonly #missing = new Set<keyof RawSinks | 'addresses'>(['services', 'endpoints', 'node']);
	/** What the kernel has acknowledged; undefined: it must be read. */
	#kernel: KernelState | undefined;
	#own: OwnServer | undefined;
	#adopted = false;
	#signal: AbortSignal | undefined;
	#armed: { readonly due: number; readonly cancel: () => void } | undefined;
	#pendingSince: number | undefined;
	#lastSync: ReconcilerSnapshot['lastSync'];
	#failures = 0;
	#lastError: string | undefined;
	readonly #totals = { syncs: 0, failures: 0, writes: 0, drift: 0 };
	/** Problems that are in the log. */
	#logged = new Set<string>();

	constructor(options: ReconcilerOptions) {
		const { maps, tableSize, nodePortCidrs } = options;
		this.#options = options;
		this.#store = new Store({ ...options, serviceCidrLimit: SERVICE_CIDRS_MAX });
		if (nodePortCidrs) this.#missing.add('addresses');
		this.#planner = new Planner({
			frontends: maps.frontends.maxEntries,
			backends: maps.backends.maxEntries,
			sourceRanges: maps.sourceRanges.maxEntries,
			chunks: maps.tables.chunks,
			segments: maps.tables.limit,
			tableSize,
		});
	}

	/** Where the watches deliver. Call once. @param kind which objects the endpoints are */
	sinks(kind: EndpointsKind): RawSinks {
		this.#store.endpointsKind = kind;
		const sink = (name: keyof RawSinks, set: (key: string, raw: unknown) => void): RawSink => ({
			upsert: (key, object) => {
				set(key, object);
				if (name === 'node') this.#missing.delete('node');
				this.#changed();
			},
			remove: (key) => {
				set(key, undefined);
				this.#changed();
			},
			listed: () => {
				if (name !== 'node') this.#missing.delete(name);
				this.#changed();
			},
		});
		return {
			services: sink('services', (key, raw) => this.#store.setService(key, raw)),
			endpoints: sink('endpoints', (key, raw) => this.#store.setEndpoints(key, raw)),
			node: sink('node', (_key, raw) => this.#store.setNode(raw)),
		};
	}

	/** All addresses of the node's devices. Waited for where ranges of them were chosen for NodePorts. */
	setLocalAddresses(addresses: readonly string[]): void {
		this.#store.setLocalAddresses(addresses.flatMap((text) => parseIp(text) ?? []));
		this.#missing.delete('addresses');
		this.#changed();
	}

	/** This node's own server for a Service takes the place of its endpoints where it has an address. */
	setOwnServer(own: OwnServer): void {
		this.#own = own;
		this.#store.touch(own.service);
		this.#changed();
	}

	/** Where a watch delivers the ranges that ClusterIPs are given out of. Nothing waits for them. */
	serviceCidrSink(): RawSink {
		const set = (key: string, raw: unknown): void => {
			this.#store.setServiceCidr(key, raw);
			this.#changed();
		};
		return { upsert: set, remove: (key) => set(key, undefined), listed: () => {} };
	}

	/** Syncs whenever something changed, until the signal aborts. Nothing is undone then. */
	run(signal: AbortSignal): Promise<void> {
		const { clock, log, verifyIntervalMs = 600_000 } = this.#options;
		this.#signal = signal;
		let cancelVerify = () => {};
		const verify = (): void => {
			cancelVerify = clock.after(verifyIntervalMs, () => {
				this.verify();
				verify();
			});
		};
		verify();
		if (this.#missing.size > 0) log.info({ missing: [...this.#missing] }, 'sync.waiting');
		this.#schedule();
		return new Promise((resolve) => {
			const stop = (): void => {
				cancelVerify();
				this.#disarm();
				resolve();
			};
			if (signal.aborted) stop();
			else signal.addEventListener('abort', stop, { once: true });
		});
	}

	/** Reads the kernel's maps again with the next sync, and puts right what differs. */
	verify(): void {
		this.#kernel = undefined;
		this.#schedule();
	}

	/**
	 * One sync, at once. run() calls it; tests do too.
	 * @returns undefined when it is too early, or when it failed: then it will be tried again
	 */
	sync(): SyncReport | undefined {
		this.#disarm();
		if (this.#missing.size > 0) return undefined;
		try {
			return this.#sync();
		} catch (error) {
			this.#fail(error);
			return undefined;
		}
	}

	snapshot(): ReconcilerSnapshot {
		const { image } = this.#planner;
		return {
			synced: this.#missing.size === 0,
			lastSync: this.#lastSync,
			pendingSince: this.#pendingSince,
			failures: this.#failures,
			lastError: this.#lastError,
			totals: { ...this.#totals },
			counts: {
				services: this.#planner.translations.size,
				frontends: image.frontends.size,
				backends: image.backends.size,
				tables: image.tables.size,
				tableChunks: image.space.used(),
			},
			problems: [...this.#store.problems(), ...this.#planner.problems()],
			nodeLeaving: this.#store.node.leaving,
		};
	}

	/** Every Service that is served, as it is in the maps. */
	services(): ServiceView[] {
		return serviceViews(this.#planner);
	}

	/** Name of a Service port's id, as counters have it: `default/web:80/tcp`. */
	serviceName(id: number): string | undefined {
		return this.#planner.image.serviceName(id);
	}

	/** Whether some Service has this backend, `10.0.0.1:80/tcp`. */
	hasBackend(name: string): boolean {
		return this.#planner.image.backends.has(name);
	}

	/** How many Services only other nodes can serve, as their policies want it. */
	noLocalEndpoints(): NoLocalEndpoints {
		return noLocalEndpoints(this.#planner);
	}

	/** What the healthCheckNodePorts answer (KEP-1669: ready endpoints only). */
	healthChecks(): HealthCheckService[] {
		return healthChecks(this.#store);
	}

	/** Where they are served: of the ranges that were chosen for NodePorts; undefined: at every address. */
	healthCheckAddresses(): string[] | undefined {
		const { nodePortCidrs } = this.#options;
		if (!nodePortCidrs || matchesAll(nodePortCidrs)) return undefined;
		return this.#store.node.nodePortAddresses.map((ip) => ip.text);
	}

	#sync(): SyncReport {
		const { clock, maps, log, backendsGone } = this.#options;
		const start = clock.now();
		const since = this.#pendingSince;
		const dirty = this.#store.take();
		this.#options.changed?.(dirty, (key) => this.#store.sources(key));
		for (const key of dirty) this.#translate(key);
		const full = this.#kernel === undefined;
		const kernel = this.#kernel ?? this.#read();
		const node = {
			settings: this.#settings(kernel),
			serviceCidrs: serviceCidrsOf(this.#store.serviceCidrs),
		};
		const plan = this.#planner.plan(node, kernel, start, full);
		if (log.isLevelEnabled?.('debug') && planSize(plan) > 0)
			log.debug({ plan: printPlan(plan) }, 'sync.plan');
		// until all of it is acknowledged, what the kernel has is not known
		this.#kernel = undefined;
		if (plan.goneBackends.length > 0) backendsGone?.(plan.goneBackends.map(({ value }) => value));
		applyPlan(plan, maps);
		acknowledge(plan, kernel);
		this.#planner.image.settle(clock.now());
		this.#kernel = kernel;
		return this.#succeed(plan, { translated: dirty.size, start, since, full });
	}

	#translate(key: string): void {
		const service = this.#store.services.get(key);
		const found = service && translate(service, this.#sources(service), this.#store.node);
		this.#planner.update(key, found);
	}

	#sources(service: Service): readonly EndpointSource[] {
		const sources = this.#store.sources(service.key);
		const own = this.#own;
		return own?.service === service.key
			? withOwnServer(service, sources, own, this.#store.node.name)
			: sources;
	}

	#read(): KernelState {
		const { image } = this.#planner;
		const known = [...image.tablesByRef.values()].map(({ ref, size, backends }) => {
			return { ref, size, backends: backends.length };
		});
		const kernel = readKernel(this.#options.maps, known);
		if (!this.#adopted) image.adopt(kernel);
		this.#adopted = true;
		return kernel;
	}

	/** A node without an address of a family keeps what the kernel has: flows may still use it. */
	#settings(kernel: KernelState): Settings {
		const { node } = this.#store;
		return {
			snatV4: primaryAddress(node, 4)?.bytes ?? kernel.settings.snatV4,
			snatV6: primaryAddress(node, 6)?.bytes ?? kernel.settings.snatV6,
		};
	}

	#succeed(
		plan: Plan,
		did: { translated: number; start: number; since: number | undefined; full: boolean },
	): SyncReport {
		const { clock, log } = this.#options;
		const at = clock.now();
		const { translated, full } = did;
		const latencyMs = did.since === undefined ? undefined : at - did.since;
		const writes = countPlan(plan);
		const size = planSize(plan);
		const report: SyncReport = { translated, writes, ms: at - did.start, latencyMs, full };
		const drift = full && this.#totals.syncs > 0 && this.#failures === 0 && translated === 0 ? size : 0;
		if (this.#totals.syncs === 0) this.#options.started?.();
		this.#totals.syncs += 1;
		this.#totals.writes += size;
		this.#totals.drift += drift;
		this.#lastSync = { at, report };
		this.#failures = 0;
		this.#lastError = undefined;
		this.#pendingSince = undefined;
		if (drift > 0) log.warn(report, 'sync.drift');
		else if (size > 0 || translated > 0) log.info(report, 'sync.done');
		else log.debug(report, 'sync.done');
		this.#logProblems();
		if (this.#planner.waiting) this.#schedule(REST_MS);
		return report;
	}

	/** Stays dirty: what was translated is in the planner, and the kernel is read again before the next try. */
	#fail(error: unknown): void {
		const { log, random } = this.#options;
		this.#kernel = undefined;
		this.#failures += 1;
		this.#totals.failures += 1;
		this.#lastError = error instanceof Error ? error.message : String(error);
		const delay = Math.min(BACKOFF.first * 2 ** (this.#failures - 1), BACKOFF.longest) * (0.5 + random());
		log.error({ err: error, failures: this.#failures, retryMs: Math.round(delay) }, 'sync.failed');
		this.#schedule(delay);
	}

	#changed(): void {
		this.#pendingSince ??= this.#options.clock.now();
		this.#schedule();
	}

	/** Arms the next sync: at once when idle, after the shortest interval when busy, not before a back-off ends. */
	#schedule(atLeast = 0): void {
		if (this.#missing.size > 0 || !this.#signal || this.#signal.aborted) return;
		const { clock, minIntervalMs = 5 } = this.#options;
		const now = clock.now();
		const next = this.#lastSync ? this.#lastSync.at + minIntervalMs : now;
		const due = Math.max(now + atLeast, next);
		if (this.#armed && (this.#failures > 0 || this.#armed.due <= due)) return;
		this.#disarm();
		this.#armed = { due, cancel: clock.after(due - now, () => this.sync()) };
	}

	#disarm(): void {
		this.#armed?.cancel();
		this.#armed = undefined;
	}

	#logProblems(): void {
		const names = new Map(
			[...this.#store.problems(), ...this.#planner.problems()].map((p) => [
				`${p.object} ${p.field} ${p.message}`,
				p,
			]),
		);
		for (const [name, problem] of names) {
			if (!this.#logged.has(name)) this.#options.log.warn(problem, 'object.problem');
		}
		this.#logged = new Set(names.keys());
	}
}
