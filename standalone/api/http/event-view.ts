import type { KubeObject } from '../../port.ts';

/** Fields that core/v1 and events.k8s.io/v1 name differently. */
const RENAMED: readonly [core: string, events: string][] = [
	['involvedObject', 'regarding'],
	['message', 'note'],
	['reportingComponent', 'reportingController'],
	['source', 'deprecatedSource'],
	['firstTimestamp', 'deprecatedFirstTimestamp'],
	['lastTimestamp', 'deprecatedLastTimestamp'],
	['count', 'deprecatedCount'],
];

function rename(
	object: KubeObject,
	apiVersion: string,
	pairs: readonly (readonly [string, string])[],
): KubeObject {
	const names = new Map(pairs);
	const entries = Object.entries(object).map(([field, value]): [string, unknown] => [
		names.get(field) ?? field,
		value,
	]);
	return { ...Object.fromEntries(entries), apiVersion } as KubeObject;
}

/** A stored core/v1 Event as events.k8s.io/v1. */
export const toEventsView = (event: KubeObject): KubeObject => rename(event, 'events.k8s.io/v1', RENAMED);

/** An events.k8s.io/v1 Event in its stored form, core/v1. */
export const fromEventsView = (event: KubeObject): KubeObject =>
	rename(
		event,
		'v1',
		RENAMED.map(([core, events]) => [events, core] as const),
	);
