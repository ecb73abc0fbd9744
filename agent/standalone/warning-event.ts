import { createHash } from 'node:crypto';
import type { KubeObject } from './port.ts';

const COMPONENT = 'maglane-standalone';

export interface Warning {
	/** One word. */
	reason: string;
	message: string;
	/** The node, where it is a node's word. */
	host?: string;
}

/**
 * An Event about a stored object, as `kubectl describe` lists it. Its name is that of what it says: the same event is not
 * made twice. @param now RFC 3339.
 */
export function warningEvent(
	{ apiVersion, kind, metadata }: KubeObject,
	{ reason, message, host }: Warning,
	now: string,
): KubeObject {
	const { name, namespace = 'default', uid = '' } = metadata;
	const hash = createHash('sha256').update(`${uid} ${reason} ${message}`).digest('hex').slice(0, 16);
	return {
		apiVersion: 'v1',
		kind: 'Event',
		metadata: { name: `${name.slice(0, 200)}.${hash}`, namespace },
		involvedObject: { apiVersion, kind, name, namespace, uid },
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
