import type { KubeObject, Resources, Scale } from '../../port.ts';
import type { Kind } from '../kinds.ts';
import type { Column } from './column.ts';
import { endpoints, endpointslices, ipaddresses, servicecidrs, services } from './network.ts';
import { configmaps, events, leases, namespaces, plain, secrets, serviceaccounts } from './others.ts';
import { bindings, roles } from './rbac.ts';
import {
	controllerrevisions,
	daemonsets,
	deployments,
	nodes,
	pods,
	replicasets,
	scales,
	statefulsets,
} from './workloads.ts';

type Columns = { [R in keyof Resources]: Column<Resources[R]>[] } & { scales: Column<Scale>[] };

const COLUMNS: Record<string, Column[]> = {
	clusterrolebindings: bindings,
	clusterroles: roles,
	configmaps,
	controllerrevisions,
	daemonsets,
	deployments,
	endpoints,
	endpointslices,
	events,
	ipaddresses,
	leases,
	namespaces,
	nodes,
	pods,
	replicasets,
	rolebindings: bindings,
	roles,
	scales,
	secrets,
	serviceaccounts,
	servicecidrs,
	services,
	statefulsets,
} satisfies Columns;

export interface TableOptions {
	/** `Metadata` (default of the API), `Object` or `None`. */
	include: string;
	/** Milliseconds since the epoch. */
	now: number;
}

function rowObject(object: KubeObject, include: string): object | undefined {
	if (include === 'None') return undefined;
	if (include === 'Object') return object;
	return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

/** Builds a `meta.k8s.io/v1` Table for `kubectl get`. */
export function tableOf(
	kind: Kind,
	objects: readonly KubeObject[],
	{ include, now }: TableOptions,
	resourceVersion: string,
): object {
	const columns = COLUMNS[kind.resource] ?? plain;
	return {
		kind: 'Table',
		apiVersion: 'meta.k8s.io/v1',
		metadata: { resourceVersion },
		columnDefinitions: columns.map(({ name, type, format, priority }) => ({
			name,
			type,
			format: format ?? '',
			description: '',
			priority,
		})),
		rows: objects.map((object) => ({
			cells: columns.map((entry) => entry.cell(object, now)),
			object: rowObject(object, include),
		})),
	};
}
