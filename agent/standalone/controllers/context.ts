import type { Logger } from 'pino';
import type { Caches } from './caches.ts';
import type { Clock } from './clock.ts';
import type { Recorder } from './event-recorder.ts';
import type { Sync, WorkQueue } from './queue.ts';

/** What a controller is given. */
export interface ControllerContext {
	caches: Caches;
	clock: Clock;
	log: Logger;
	/** Writes an Event about an object. */
	record: Recorder;
	/** Random 5-character names' suffix. */
	suffix: () => string;
	/** A queue that stops with the controllers. */
	queue: (name: string, sync: Sync) => WorkQueue;
}
