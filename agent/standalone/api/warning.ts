import { createHash } from 'node:crypto';
import type { KubeObject } from '../port.ts';
import { apiVersionOf, type Kind } from './kinds.ts';
import type { Conflict } from './strategy.ts';

const COMPONENT = 'maglane-standalone';

/**
 * An Event about an object, by the API server. Its name is that of what it says, so that the same is not said twice.
 * @param now RFC 3339.
 */
export function warning(
	kind: Kind,
	object: KubeObject,
	{ reason, message }: Conflict,
	now: string,
): KubeObject {
	const { name, namespace = 'default', uid = '' } = object.metadata;
	const hash = createHash('sha256').update(`${uid} ${reason} ${message}`).digest('hex').slice(0, 16);
	return {
		metadata: { name: `${name.slice(0, 200)}.${hash}`, namespace },
		involvedObject: { apiVersion: apiVersionOf(kind), kind: kind.kind, name, namespace, uid },
		type: 'Warning',
		reason,
		message,
		source: { component: COMPONENT },
		reportingComponent: COMPONENT,
		firstTimestamp: now,
		lastTimestamp: now,
		count: 1,
	};
}
