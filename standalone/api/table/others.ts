import type { ConfigMap, Event, KubeObject, Lease, Namespace, Secret, ServiceAccount } from '../../port.ts';
import { AGE, type Column, column, count, NAME, since, wide } from './column.ts';

export const namespaces: Column<Namespace>[] = [
	NAME,
	column('Status', (object) => object.status?.phase ?? ''),
	AGE,
];

export const serviceaccounts: Column<ServiceAccount>[] = [
	NAME,
	count('Secrets', (object) => object.secrets?.length ?? 0),
	AGE,
];

const entries =
	(...fields: string[]) =>
	(object: KubeObject) =>
		fields.reduce((sum, field) => sum + Object.keys(object[field] ?? {}).length, 0);

export const configmaps: Column<ConfigMap>[] = [NAME, count('Data', entries('data', 'binaryData')), AGE];

export const secrets: Column<Secret>[] = [
	NAME,
	column('Type', (object) => object.type ?? ''),
	count('Data', entries('data')),
	AGE,
];

export const leases: Column<Lease>[] = [
	NAME,
	column('Holder', (object) => object.spec?.holderIdentity ?? ''),
	AGE,
];

function target(event: Event): string {
	const object = event.involvedObject ?? {};
	return object.name
		? `${String(object.kind).toLowerCase()}/${object.name}`
		: String(object.kind ?? '').toLowerCase();
}

const firstSeen = (event: Event): string | undefined => event.firstTimestamp ?? event.eventTime;
const lastSeen = (event: Event): string | undefined =>
	event.series?.lastObservedTime ?? event.lastTimestamp ?? firstSeen(event);

export const events: Column<Event>[] = [
	column('Last Seen', (event, now) => since(lastSeen(event), now)),
	column('Type', (event) => event.type ?? ''),
	column('Reason', (event) => event.reason ?? ''),
	column('Object', target),
	wide('Subobject', (event) => event.involvedObject?.fieldPath ?? ''),
	wide('Source', (event) =>
		[event.source?.component ?? event.reportingComponent, event.source?.host]
			.filter((part) => part)
			.join(', '),
	),
	column('Message', (event) => String(event.message ?? '').trim()),
	wide('First Seen', (event, now) => since(firstSeen(event), now)),
	wide('Count', (event) => String(event.series?.count ?? event.count ?? 1)),
	wide('Name', (event) => event.metadata.name),
];

/** Columns of all other kinds. */
export const plain: Column[] = [
	NAME,
	column('Created At', (object) => object.metadata.creationTimestamp ?? ''),
];
