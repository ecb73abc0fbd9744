import type { KubeObject } from '../../port.ts';
import { apiVersionOf, type Kind, kindOf } from '../kinds.ts';
import { fromEventsView, toEventsView } from './event-view.ts';

/** The stored object in the version of the kind that was asked for. */
export function viewOf(kind: Kind, object: KubeObject): KubeObject {
	if (!kind.storedAs) return object;
	return kind.kind === 'Event' ? toEventsView(object) : { ...object, apiVersion: apiVersionOf(kind) };
}

/** What came in a version of the kind, as it is stored. */
export function storedOf(kind: Kind, object: KubeObject): KubeObject {
	if (!kind.storedAs) return object;
	if (kind.kind === 'Event') return fromEventsView(object);
	return { ...object, apiVersion: apiVersionOf(kindOf(kind.storedAs)!) };
}
