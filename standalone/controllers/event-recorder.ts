import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../../agent/base/clock.ts';
import type { Event, KubeObject, ObjectApi } from '../port.ts';
import { timestamp } from '../timestamp.ts';
import { errorCode } from './meta.ts';

export interface Happening {
	/** The reporting component, like `deployment-controller`. */
	component: string;
	reason: string;
	message: string;
	/** Normal by default. */
	type?: 'Normal' | 'Warning';
}

/** Writes an Event about an object, for `kubectl describe` and `kubectl events`. */
export type Recorder = (object: KubeObject, happening: Happening) => void;

/**
 * Equal reports about the same object increase the count of one Event, as in client-go's recorder.
 * Nothing waits for Events: one that cannot be written (for example, in a terminating namespace) is
 * lost.
 */
export function createRecorder(api: ObjectApi, clock: Clock, log: Logger): Recorder {
	return (object, happening) => {
		try {
			const wanted = eventOf(object, happening, timestamp(clock.now()));
			const { namespace, name } = wanted.metadata;
			const before = api.get('events', namespace, name);
			if (!before) api.create('events', wanted);
			else
				api.update('events', {
					...before,
					count: before.count! + 1,
					lastTimestamp: wanted.lastTimestamp,
				});
		} catch (err) {
			const level = errorCode(err) === 403 ? 'debug' : 'warn';
			log[level]({ event: 'event_lost', reason: happening.reason, object: object.metadata.name, err });
		}
	};
}

function eventOf(
	object: KubeObject,
	{ component, reason, message, type = 'Normal' }: Happening,
	now: string,
) {
	const { apiVersion, kind } = object;
	const { name, namespace, uid, resourceVersion } = object.metadata;
	const hash = createHash('sha256').update(JSON.stringify([uid, component, type, reason, message]));
	return {
		metadata: {
			name: `${name.slice(0, 200)}.${hash.digest('hex').slice(0, 16)}`,
			namespace: namespace ?? 'default',
		},
		involvedObject: {
			apiVersion: apiVersion!,
			kind: kind!,
			name,
			namespace: namespace!,
			uid: uid!,
			resourceVersion: resourceVersion!,
		},
		type,
		reason,
		message,
		source: { component },
		reportingComponent: component,
		reportingInstance: '',
		firstTimestamp: now,
		lastTimestamp: now,
		count: 1,
	} satisfies Event;
}
