import type { Logger } from 'pino';
import type { Clock } from '../../agent/base/clock.ts';

/** A keyed work queue. A key that is added several times before its sync is synced once. */
export interface WorkQueue {
	add(key: string): void;
	/** Adds the key after `ms`. Of several calls for one key, the earliest counts. */
	addAfter(key: string, ms: number): void;
	/** Whether no key is queued or in progress. Delayed keys do not count. */
	idle(): boolean;
}

/** @param dirtySince time of the first add since the key's last sync, in ms since the epoch. */
export type Sync = (key: string, dirtySince: number) => void | Promise<void>;

export interface QueueOptions {
	name: string;
	sync: Sync;
	clock: Clock;
	log: Logger;
	signal: AbortSignal;
}

const RETRY_FIRST_MS = 5;
const RETRY_LAST_MS = 30_000;
/** Work time after which the queue yields to the event loop (requests to the API server). */
const SLICE_MS = 8;

interface Delayed {
	at: number;
	cancel: () => void;
}

/**
 * A queue with one worker, which syncs one key at a time. Retries a failed sync with exponential
 * backoff, 5 ms to 30 s, for each key; success resets the backoff. Stops permanently when the
 * signal aborts.
 */
export function createQueue(options: QueueOptions): WorkQueue {
	const { name, sync, clock, log, signal } = options;
	const dirty = new Map<string, number>();
	const failures = new Map<string, number>();
	const delayed = new Map<string, Delayed>();
	let running = false;

	signal.addEventListener('abort', () => {
		dirty.clear();
		for (const { cancel } of delayed.values()) cancel();
		delayed.clear();
	});

	function add(key: string): void {
		if (signal.aborted) return;
		if (!dirty.has(key)) dirty.set(key, clock.now());
		start();
	}

	function addAfter(key: string, ms: number): void {
		if (signal.aborted) return;
		const at = clock.now() + ms;
		const earlier = delayed.get(key);
		if (earlier && earlier.at <= at) return;
		earlier?.cancel();
		const cancel = clock.after(ms, () => {
			delayed.delete(key);
			add(key);
		});
		delayed.set(key, { at, cancel });
	}

	function start(): void {
		if (running) return;
		running = true;
		setImmediate(() => void drain());
	}

	async function drain(): Promise<void> {
		let until = performance.now() + SLICE_MS;
		for (const [key, since] of dirty) {
			if (signal.aborted) break;
			dirty.delete(key);
			await attempt(key, since);
			if (performance.now() > until) {
				await new Promise(setImmediate);
				until = performance.now() + SLICE_MS;
			}
		}
		running = false;
		if (dirty.size > 0 && !signal.aborted) start();
	}

	async function attempt(key: string, since: number): Promise<void> {
		try {
			await sync(key, since);
			failures.delete(key);
		} catch (error) {
			if (signal.aborted) return;
			const count = failures.get(key) ?? 0;
			failures.set(key, count + 1);
			const delay = Math.min(RETRY_FIRST_MS * 2 ** Math.min(count, 20), RETRY_LAST_MS);
			log.warn({
				event: 'sync_failed',
				controller: name,
				key,
				attempt: count + 1,
				retryMs: delay,
				err: error,
			});
			addAfter(key, delay);
		}
	}

	return { add, addAfter, idle: () => !running && dirty.size === 0 };
}
