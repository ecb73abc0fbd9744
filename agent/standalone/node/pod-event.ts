/** Events about pods, as `kubectl describe pod` lists them. */
import { createHash } from 'node:crypto';
import type { KubeObject } from '../port.ts';

const COMPONENT = 'maglane-standalone';

/** @param now RFC 3339. The name is that of the message: the same event is not made twice. */
export function podEvent(pod: KubeObject, reason: string, message: string, now: string): KubeObject {
	const { name, namespace = 'default', uid = '' } = pod.metadata;
	const hash = createHash('sha256').update(`${uid} ${reason} ${message}`).digest('hex').slice(0, 16);
	return {
		apiVersion: 'v1',
		kind: 'Event',
		metadata: { name: `${name.slice(0, 200)}.${hash}`, namespace },
		involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, uid },
		type: 'Warning',
		reason,
		message,
		source: { component: COMPONENT, host: pod.spec?.nodeName },
		reportingComponent: COMPONENT,
		firstTimestamp: now,
		lastTimestamp: now,
		count: 1,
	};
}
