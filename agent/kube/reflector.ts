import { type Clock, pause } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Sink } from '../base/sink.ts';
import { Backoff } from './backoff.ts';
import { ApiStatusError, describe, MalformedAnswerError } from './errors.ts';
import { type Connection, listPages } from './list.ts';
import type { ReflectorState } from './reflector-state.ts';
import { asObject, keyOf, type RawObject, type Resource } from './resources.ts';
import type { Transport } from './transport.ts';
import { type WatchEvent, watchEvents } from './watch.ts';

export interface ReflectorOptions {
	readonly resource: Resource;
	readonly transport: Transport;
	readonly sink: Sink;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly log: Log;
	/**
	 * Milliseconds without a byte after which a connection is closed. Bookmarks come about once a
	 * minute.
	 */
	readonly stallMs?: number;
	/** Objects per page of a list. */
	readonly pageSize?: number;
}

interface Known {
	readonly uid: string;
	readonly version: string;
}

const STALL_MS = 150_000;
const PAGE_SIZE = 500;
/** The server is busy, or the credentials are temporarily invalid: a list would only add load. */
const PASSING = new Set([401, 403, 429, 503]);

/**
 * Keeps a sink equal to one resource of the API. It lists, then watches. The next watch starts
 * where the last one ended; if the server has lost that version, the reflector lists again and
 * passes the difference on. Modelled on client-go's tools/cache/reflector.go; client-node's
 * informer stops at the first reset.
 */
export class Reflector {
	readonly state: ReflectorState = { listed: false, lists: 0, watches: 0, events: 0, malformed: 0 };
	readonly #options: ReflectorOptions;
	readonly #known = new Map<string, Known>();
	readonly #backoff: Backoff;
	/** Version to watch from; undefined: a list is needed first. */
	#watchFrom: string | undefined;
	/** resourceVersion of the next list. */
	#listFrom = '0';

	constructor(options: ReflectorOptions) {
		this.#options = options;
		this.#backoff = new Backoff(options.clock, options.random);
	}

	/** Runs until the signal aborts; never rejects. */
	async run(signal: AbortSignal): Promise<void> {
		const { clock, log, resource } = this.#options;
		const connection: Connection = {
			resource,
			transport: this.#options.transport,
			clock,
			stallMs: this.#options.stallMs ?? STALL_MS,
			signal,
		};
		let expired = false;
		while (!signal.aborted) {
			let openedAt: number | undefined;
			let wait = 0;
			let how: 'orderly' | 'failed' | 'absent' = 'orderly';
			try {
				this.#watchFrom ??= await this.#list(connection);
				await this.#watch(connection, this.#watchFrom, () => {
					openedAt = clock.now();
				});
				expired = false;
			} catch (error) {
				if (signal.aborted) return;
				wait = this.#failed(error);
				how = error instanceof ApiStatusError || error instanceof MalformedAnswerError ? 'failed' : 'absent';
				// an immediate list helps, for example after a server restart, but not right after another
				// list
				const before = expired;
				expired = error instanceof ApiStatusError && error.versionUnusable;
				if (expired && !before) continue;
			}
			const delay = Math.max(wait, this.#backoff.next(openedAt, how));
			log.debug({ resource: resource.name, delay: Math.round(delay) }, 'watch.again');
			await pause(clock, delay, signal);
		}
	}

	/** @returns ms that the server asked to wait */
	#failed(error: unknown): number {
		const { log, resource } = this.#options;
		const status = error instanceof ApiStatusError ? error : undefined;
		const relist =
			error instanceof MalformedAnswerError || (status !== undefined && !PASSING.has(status.code));
		if (relist) this.#watchFrom = undefined;
		const why = describe(error);
		this.state.error = why;
		if (status?.code === 403 && !this.state.listed)
			this.#guard('', () => this.#options.sink.forbidden?.(why));
		const fields = { resource: resource.name, error: why, relist };
		// an expired version is part of the protocol, not a fault
		if (status?.versionUnusable) log.info(fields, 'watch.expired');
		else log.warn(fields, 'watch.failed');
		return (status?.retryAfter ?? 0) * 1000;
	}

	/** @returns the resourceVersion from which to watch */
	async #list(connection: Connection): Promise<string> {
		const pageSize = this.#options.pageSize ?? PAGE_SIZE;
		let from = this.#listFrom;
		// with a version and a limit, the server bypasses its cache
		let limit = from === '0' || from === '' ? pageSize : 0;
		for (;;) {
			const progress = { pages: 0 };
			try {
				return await this.#listOnce(connection, from, limit, progress);
			} catch (error) {
				const again = error instanceof ApiStatusError && error.versionUnusable;
				if (!again || (from === '' && limit === 0)) throw error;
				// a continue token that expired once would expire again: request the whole list at once
				if (progress.pages > 0 || from === '') limit = 0;
				else limit = pageSize;
				from = '';
				this.#listFrom = '';
			}
		}
	}

	async #listOnce(
		connection: Connection,
		from: string,
		limit: number,
		progress: { pages: number },
	): Promise<string> {
		const { sink, log, resource, clock } = this.#options;
		const started = clock.now();
		const seen = new Set<string>();
		let version = '';
		for await (const page of listPages(connection, from, limit)) {
			progress.pages++;
			version = page.resourceVersion;
			this.state.lastContact = clock.now();
			for (const item of page.items) {
				const key = this.#take(item);
				if (key !== undefined) seen.add(key);
			}
		}
		for (const key of [...this.#known.keys()]) {
			if (!seen.has(key)) this.#drop(key);
		}
		this.#listFrom = version;
		this.state.lists++;
		this.state.listed = true;
		log.info(
			{ resource: resource.name, objects: seen.size, version, ms: Math.round(clock.now() - started) },
			'list.done',
		);
		this.#guard('', () => sink.listed());
		return version;
	}

	async #watch(connection: Connection, from: string, opened: () => void): Promise<void> {
		const timeout = 300 + Math.floor(this.#options.random() * 300);
		const onOpen = (): void => {
			this.state.watches++;
			delete this.state.error;
			opened();
		};
		for await (const event of watchEvents(connection, from, timeout, onOpen)) {
			this.state.lastContact = this.#options.clock.now();
			this.state.events++;
			const version = this.#apply(event);
			if (version !== undefined) {
				this.#watchFrom = version;
				this.#listFrom = version;
			}
		}
	}

	/** @returns the event's resourceVersion, from which a later watch continues */
	#apply(event: WatchEvent): string | undefined {
		if (event.type === 'BOOKMARK') {
			const meta = event.object['metadata'] as { resourceVersion?: unknown } | undefined;
			return typeof meta?.resourceVersion === 'string' ? meta.resourceVersion : undefined;
		}
		const object = asObject(event.object);
		if (object === undefined) {
			this.#reportMalformed(event.object);
			return undefined;
		}
		const key = keyOf(object.metadata);
		if (this.#older(key, object)) return undefined;
		if (event.type === 'DELETED') this.#drop(key);
		else this.#take(object);
		return object.metadata.resourceVersion;
	}

	/**
	 * Whether an event has an older state than the known one, for example from a server that lags
	 * behind.
	 */
	#older(key: string, object: RawObject): boolean {
		const known = this.#known.get(key);
		const { uid, resourceVersion } = object.metadata;
		if (known === undefined || known.uid !== uid) return false;
		return (
			isNumber(known.version) && isNumber(resourceVersion) && BigInt(resourceVersion) < BigInt(known.version)
		);
	}

	/** Passes a changed object to the sink. @returns its key */
	#take(item: unknown): string | undefined {
		const { resource, sink } = this.#options;
		const object = asObject(item);
		if (object === undefined) {
			this.#reportMalformed(item);
			return undefined;
		}
		const key = keyOf(object.metadata);
		const { uid = '', resourceVersion: version = '' } = object.metadata;
		const known = this.#known.get(key);
		if (known !== undefined && version !== '' && known.uid === uid && known.version === version) return key;
		resource.trim(object as Record<string, unknown>);
		this.#known.set(key, { uid, version });
		this.#guard(key, () => sink.upsert(key, object));
		return key;
	}

	#drop(key: string): void {
		if (this.#known.delete(key)) this.#guard(key, () => this.#options.sink.remove(key));
	}

	/** Calls the sink. An exception there must not end the watch. */
	#guard(key: string, call: () => void): void {
		try {
			call();
		} catch (error) {
			const { log, resource } = this.#options;
			log.warn({ resource: resource.name, object: key, error: describe(error) }, 'object.not-taken');
		}
	}

	#reportMalformed(item: unknown): void {
		this.state.malformed++;
		const { log, resource } = this.#options;
		const sample = JSON.stringify(item)?.slice(0, 200);
		log.warn({ resource: resource.name, field: 'metadata.name', object: sample }, 'object.malformed');
	}
}

function isNumber(version: string | undefined): version is string {
	return version !== undefined && /^\d+$/.test(version);
}
