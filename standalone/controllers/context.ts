import type { Logger } from 'pino';
import type { Clock } from '../../agent/base/clock.ts';
import type { Caches } from './caches.ts';
import type { Recorder } from './event-recorder.ts';
import type { Sync, WorkQueue } from './queue.ts';

/** Dependencies of a controller. */
export interface ControllerContext {
	caches: Caches;
	clock: Clock;
	log: Logger;
	/** Writes an Event about an object. */
	record: Recorder;
	/** Generates a random 5-character suffix for names. */
	suffix: () => string;
	/** Creates a queue that stops with the controllers. */
	queue: (name: string, sync: Sync) => WorkQueue;
}
