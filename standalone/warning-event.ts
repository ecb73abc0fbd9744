import { createHash } from 'node:crypto';
import type { Event, KubeObject } from './port.ts';

const COMPONENT = 'maglane-standalone';

export interface Warning {
	/** One word. */
	reason: string;
	message: string;
	/** The node, if it is the source. */
	host?: string | undefined;
}

/**
 * Builds an Event about a stored object, for `kubectl describe`. The name is a hash of the content,
 * so that an equal Event is not created twice.
 * @param now RFC 3339.
 */
export function warningEvent(
	{ apiVersion, kind, metadata }: KubeObject,
	{ reason, message, host }: Warning,
	now: string,
): Event {
	const { name, namespace = 'default', uid = '' } = metadata;
	const hash = createHash('sha256').update(`${uid} ${reason} ${message}`).digest('hex').slice(0, 16);
	return {
		apiVersion: 'v1',
		kind: 'Event',
		metadata: { name: `${name.slice(0, 200)}.${hash}`, namespace },
		involvedObject: { apiVersion: apiVersion!, kind: kind!, name, namespace, uid },
		type: 'Warning',
		reason,
		message,
		source: { component: COMPONENT, ...(host ? { host } : {}) },
		reportingComponent: COMPONENT,
		firstTimestamp: now,
		lastTimestamp: now,
		count: 1,
	};
}
