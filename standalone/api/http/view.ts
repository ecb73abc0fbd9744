import type { KubeObject } from '../../port.ts';
import { apiVersionOf, type Kind, kindOf } from '../kinds.ts';
import { fromEventsView, toEventsView } from './event-view.ts';

/** Converts a stored object to the version of the requested kind. */
export function viewOf(kind: Kind, object: KubeObject): KubeObject {
	if (!kind.storedAs) return object;
	return kind.kind === 'Event' ? toEventsView(object) : { ...object, apiVersion: apiVersionOf(kind) };
}

/** Converts an object in a version of the kind to its stored form. */
export function storedOf(kind: Kind, object: KubeObject): KubeObject {
	if (!kind.storedAs) return object;
	if (kind.kind === 'Event') return fromEventsView(object);
	return { ...object, apiVersion: apiVersionOf(kindOf(kind.storedAs)!) };
}
