import { type FrontendKey, frontendKeyCodec, SERVICE_CIDRS_MAX, type Settings } from '../abi/layout.ts';
import type { Sink } from '../base/sink.ts';
import { matchesAll } from '../model/cidr.ts';
import { parseIp } from '../model/ip.ts';
import { primaryAddress } from '../model/node.ts';
import { type OwnServer, withOwnServer } from '../model/own-server.ts';
import { type Translation, translate } from '../model/translate.ts';
import type { EndpointSource, EndpointsKind, Problem, Service } from '../model/types.ts';
import { acknowledge, applyPlan, clearFrontendBits } from '../plan/apply.ts';
import { EndedFrontends, endedOf } from '../plan/ended-frontends.ts';
import { REST_MS } from '../plan/ids.ts';
import { type KernelState, readKernel, removeEnded, serviceCidrsOf } from '../plan/kernel.ts';
import { additionsOf, countPlan, type Plan, planSize, printPlan } from '../plan/plan.ts';
import { Planner } from '../plan/planner.ts';
import { type NoLocalEndpoints, noLocalEndpoints, type ServiceView, serviceViews } from '../plan/view.ts';
import { type HealthCheckService, healthChecks } from './health-checks.ts';
import { type Change, isolate } from './isolate.ts';
import type { RawSinks, ReconcilerOptions, ReconcilerSnapshot, SyncReport } from './reconcile-types.ts';
import { SetAside } from './set-aside.ts';
import { Store } from './store.ts';

export type * from './reconcile-types.ts';

/** Interval of the search for ended frontends without connections, ms. */
const ENDED_SWEEP_MS = 60_000;
const BACKOFF = { first: 100, longest: 10_000 } as const;

/** Keeps the kernel's maps equal to the objects of the API server. Its parts hold the state. */
export class Reconciler {
	readonly #options: ReconcilerOptions;
	readonly #store: Store;
	readonly #planner: Planner;
	/** Resources that have not been listed. `node` stays until the Node object has arrived. */
	readonly #missing = new Set<keyof RawSinks | 'addresses'>(['services', 'endpoints', 'node']);
	/** State that the kernel has acknowledged; undefined: it must be read. */
	#kernel: KernelState | undefined;
	/** undefined: frontends are deleted with their Services. */
	readonly #ended: EndedFrontends | undefined;
	#own: OwnServer | undefined;
	/** Services that changed and have not been translated since. */
	readonly #unread = new Set<string>();
	readonly #aside = new SetAside();
	#adopted = false;
	#signal: AbortSignal | undefined;
	#armed: { readonly due: number; readonly cancel: () => void } | undefined;
	#pendingSince: number | undefined;
	#lastSync: ReconcilerSnapshot['lastSync'];
	#failures = 0;
	#lastError: string | undefined;
	readonly #totals = { syncs: 0, failures: 0, writes: 0, drift: 0 };
	/** Problems that have been logged. */
	#logged = new Set<string>();

	constructor(options: ReconcilerOptions) {
		const { maps, tableSize, nodePortCidrs } = options;
		this.#options = options;
		this.#store = new Store({ ...options, serviceCidrLimit: SERVICE_CIDRS_MAX });
		if (nodePortCidrs) this.#missing.add('addresses');
		this.#ended = options.connections && new EndedFrontends(options.connections);
		this.#planner = new Planner({
			frontends: maps.frontends.maxEntries,
			backends: maps.backends.maxEntries,
			sourceRanges: maps.sourceRanges.maxEntries,
			chunks: maps.tables.chunks,
			segments: maps.tables.limit,
			tableSize,
		});
	}

	/** Sinks for the watches. Call once. @param kind resource of the endpoint objects */
	sinks(kind: EndpointsKind): RawSinks {
		this.#store.endpointsKind = kind;
		const sink = (name: keyof RawSinks, set: (key: string, raw: unknown) => void): Sink => ({
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

	/**
	 * Sets the addresses of the node's devices. With nodePortCidrs, the first sync waits for them.
	 */
	setLocalAddresses(addresses: readonly string[]): void {
		this.#store.setLocalAddresses(addresses.flatMap((text) => parseIp(text) ?? []));
		this.#missing.delete('addresses');
		this.#changed();
	}

	/** Replaces endpoints of a Service by this node's server, in the families of its addresses. */
	setOwnServer(own: OwnServer): void {
		this.#own = own;
		this.#store.touch(own.service);
		this.#changed();
	}

	/** Sink for the ranges of ClusterIPs. No sync waits for it. */
	serviceCidrSink(): Sink {
		const set = (key: string, raw: unknown): void => {
			this.#store.setServiceCidr(key, raw);
			this.#changed();
		};
		return { upsert: set, remove: (key) => set(key, undefined), listed: () => {} };
	}

	/** Syncs after each change until the signal aborts. The maps keep their content. */
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
		let cancelSweep = () => {};
		const sweep = (): void => {
			cancelSweep = clock.after(ENDED_SWEEP_MS, () => {
				this.#sweepEnded();
				sweep();
			});
		};
		if (this.#ended) sweep();
		if (this.#missing.size > 0) log.info({ missing: [...this.#missing] }, 'sync.waiting');
		this.#schedule();
		return new Promise((resolve) => {
			const stop = (): void => {
				cancelVerify();
				cancelSweep();
				this.#disarm();
				resolve();
			};
			if (signal.aborted) stop();
			else signal.addEventListener('abort', stop, { once: true });
		});
	}

	/** Reads the kernel's maps again with the next sync, and corrects differences. */
	verify(): void {
		this.#kernel = undefined;
		this.#schedule();
	}

	/**
	 * Runs one sync at once. Called by run() and by tests.
	 * @returns undefined when resources are missing, or when it failed and will be retried
	 */
	sync(): SyncReport | undefined {
		this.#disarm();
		if (this.#missing.size > 0) return undefined;
		try {
			this.#readChanges();
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
				backends: image.backendsById.size,
				tables: image.tables.size,
				tableChunks: image.space.used(),
			},
			problems: this.#problems(),
			nodeLeaving: this.#store.node.leaving,
		};
	}

	/** All Services, as they are in the maps. */
	services(): ServiceView[] {
		return serviceViews(this.#planner);
	}

	/** Name of the Service port with an id from the counters: `default/web:80/tcp`. */
	serviceName(id: number): string | undefined {
		return this.#planner.image.serviceName(id);
	}

	/**
	 * Whether a backend exists, `10.0.0.1:80/tcp`.
	 * @param serviceId of this Service port; undefined: of any
	 */
	hasBackend(name: string, serviceId?: number): boolean {
		const { image } = this.#planner;
		return serviceId === undefined ? image.hasEndpoint(name) : image.backendOf(serviceId, name) !== undefined;
	}

	/** Number of Services that only other nodes can serve, because of their policies. */
	noLocalEndpoints(): NoLocalEndpoints {
		return noLocalEndpoints(this.#planner);
	}

	/** Answers of the healthCheckNodePorts (KEP-1669: ready endpoints only). */
	healthChecks(): HealthCheckService[] {
		return healthChecks(this.#store);
	}

	/** Addresses of the healthCheckNodePorts: those in the ranges for NodePorts; undefined: all. */
	healthCheckAddresses(): string[] | undefined {
		const { nodePortCidrs } = this.#options;
		if (!nodePortCidrs || matchesAll(nodePortCidrs)) return undefined;
		return this.#store.node.nodePortAddresses.map((ip) => ip.text);
	}

	#sync(): SyncReport {
		const { clock } = this.#options;
		const start = clock.now();
		const since = this.#pendingSince;
		for (const key of this.#aside.due(start)) this.#unread.add(key);
		const dirty = new Set(this.#unread);
		const changes = this.#translateAll(dirty);
		const full = this.#kernel === undefined;
		const plan = this.#writeChanges(changes, start);
		return this.#succeed(plan, { translated: dirty.size, start, since, full });
	}

	/** Reads changes and calls the listener before the sync. Errors of the listener are logged. */
	#readChanges(): void {
		const read = this.#store.take();
		try {
			this.#options.changed?.(read, (key) => this.#store.sources(key));
		} catch (error) {
			this.#options.log.error({ err: error, services: read.size }, 'sync.listener-failed');
		}
		// the listener may have set an own server, which this sync includes
		for (const key of [...read, ...this.#store.take()]) this.#unread.add(key);
	}

	/** Translates Services; one that fails keeps its state. @returns changes of the others */
	#translateAll(dirty: ReadonlySet<string>): Map<string, Change<Translation>> {
		const changes = new Map<string, Change<Translation>>();
		for (const key of dirty) {
			const before = this.#planner.translations.get(key);
			try {
				const service = this.#store.services.get(key);
				const after = service && translate(service, this.#sources(service), this.#store.node);
				this.#planner.update(key, after);
				changes.set(key, { before, after });
			} catch (error) {
				this.#setAside(key, error);
			}
			this.#unread.delete(key);
		}
		return changes;
	}

	/**
	 * Writes all changes. If that fails, it omits those of the Services that cause the failure. The
	 * first sync knows no previous state, so it deletes nothing until it has found them.
	 * @throws when it fails without changes too, or at the first sync for each Service
	 */
	#writeChanges(changes: ReadonlyMap<string, Change<Translation>>, now: number): Plan {
		const first = this.#totals.syncs === 0;
		const refused = new Map<string, unknown>();
		try {
			return this.#write(now);
		} catch (error) {
			if (changes.size === 0) throw error;
			this.#options.log.error({ err: error, services: changes.size }, 'sync.refused');
			const plan = isolate([...changes], error, {
				update: (key, service) => this.#planner.update(key, service),
				write: (last) => {
					if (first && !last) return this.#add(now);
					if (first && refused.size === changes.size) {
						refused.clear();
						this.#desire(changes, error);
					}
					return this.#write(now);
				},
				refused: (key, why) => refused.set(key, why),
			});
			this.#totals.failures += 1;
			return plan;
		} finally {
			for (const [key, why] of refused) this.#setAside(key, why);
			for (const key of changes.keys()) if (!refused.has(key)) this.#aside.delete(key);
		}
	}

	/** Desires all changes again. @throws the error */
	#desire(changes: ReadonlyMap<string, Change<Translation>>, error: unknown): never {
		for (const [key, { after }] of changes) this.#planner.update(key, after);
		throw error;
	}

	#setAside(key: string, error: unknown): void {
		const { clock, log } = this.#options;
		const reason = error instanceof Error ? error.message : String(error);
		const retryMs = this.#aside.add(key, clock.now(), reason);
		log.error({ err: error, service: key, retryMs }, 'service.set-aside');
	}

	/** Adds what the maps lack, and deletes nothing. The next write reads the maps again. */
	#add(now: number): Plan {
		const plan = additionsOf(this.#plan(this.#kernel ?? this.#read(), now, true));
		this.#kernel = undefined;
		applyPlan(plan, this.#options.maps);
		return plan;
	}

	#plan(kernel: KernelState, now: number, full: boolean): Plan {
		const node = {
			settings: this.#settings(kernel),
			serviceCidrs: serviceCidrsOf(this.#store.serviceCidrs),
		};
		return this.#planner.plan(node, kernel, now, full);
	}

	/** Makes the maps equal to the planner's image. */
	#write(now: number): Plan {
		const { maps, log, backendsGone, clock } = this.#options;
		const full = this.#kernel === undefined;
		const kernel = this.#kernel ?? this.#read();
		// the state of the kernel is unknown until it has acknowledged the whole plan
		this.#kernel = undefined;
		const plan = this.#plan(kernel, now, full);
		if (log.isLevelEnabled?.('debug') && planSize(plan) > 0)
			log.debug({ plan: printPlan(plan) }, 'sync.plan');
		if (plan.goneBackends.length > 0) backendsGone?.(plan.goneBackends.map(({ value }) => value));
		const ended = this.#ended ? this.#endedBy(plan, kernel) : [];
		applyPlan(plan, maps, ended);
		acknowledge(plan, kernel, ended);
		this.#clearBits(kernel, full ? undefined : plan.goneFrontends);
		this.#planner.image.settle(clock.now());
		this.#kernel = kernel;
		return plan;
	}

	/** Frontends that stay for their connections: all, unless the map has no room for them. */
	#endedBy(plan: Plan, kernel: KernelState): FrontendKey[] {
		const { frontends } = this.#options.maps;
		const ended = endedOf(plan, kernel);
		const wanted = kernel.frontends.size + kernel.ended.size + plan.frontends.length;
		if (wanted <= frontends.maxEntries) return ended;
		this.#forgetEnded(kernel, [...kernel.ended.values()]);
		return kernel.frontends.size + plan.frontends.length <= frontends.maxEntries ? ended : [];
	}

	#forgetEnded(kernel: KernelState, keys: readonly FrontendKey[]): void {
		if (keys.length === 0) return;
		this.#options.maps.frontends.deleteBatch(frontendKeyCodec.encodeAll(keys));
		for (const key of keys) removeEnded(kernel, key);
		this.#clearBits(kernel, keys);
	}

	#clearBits(kernel: KernelState, gone: readonly FrontendKey[] | undefined): void {
		clearFrontendBits(this.#options.maps, kernel, this.#planner.image.frontendBits.words, gone);
	}

	/** Deletes ended frontends without connections. Does nothing while there are none. */
	#sweepEnded(): void {
		const kernel = this.#kernel;
		if (!kernel || !this.#ended || kernel.ended.size === 0) return;
		try {
			this.#forgetEnded(kernel, this.#ended.unused(kernel.ended, this.#options.clock.now()));
		} catch (error) {
			this.#fail(error);
		}
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

	/** A node without an address of a family keeps the kernel's one: flows may still use it. */
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
		if (this.#aside.next !== undefined) this.#schedule(Math.max(0, this.#aside.next - clock.now()));
		return report;
	}

	/** Arms a retry. The planner keeps the translations; the retry reads the kernel again. */
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

	/** Arms the next sync: at once when idle, else after the shortest interval or the backoff. */
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

	#problems(): Problem[] {
		return [...this.#store.problems(), ...this.#planner.problems(), ...this.#aside.problems()];
	}

	#logProblems(): void {
		const names = new Map(this.#problems().map((p) => [`${p.object} ${p.field} ${p.message}`, p]));
		for (const [name, problem] of names) {
			if (!this.#logged.has(name)) this.#options.log.warn(problem, 'object.problem');
		}
		this.#logged = new Set(names.keys());
	}
}
