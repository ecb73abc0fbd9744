/** A resource served by the API. */
export interface Kind {
	group: string;
	version: string;
	kind: string;
	/** Lower-case plural, unique in this server. ObjectApi uses this name. */
	resource: string;
	singular: string;
	shortNames: readonly string[];
	categories: readonly string[];
	namespaced: boolean;
	status: boolean;
	scale: boolean;
	/** Whether changes of the spec increment metadata.generation. */
	generation: boolean;
	/**
	 * The resource that stores the objects, if this is another view of them (another group or
	 * version).
	 */
	storedAs?: string;
}

type Extra = Partial<Omit<Kind, 'group' | 'version' | 'kind' | 'resource'>>;

function kind(groupVersion: string, name: string, resource: string, extra: Extra = {}): Kind {
	const slash = groupVersion.indexOf('/');
	return {
		group: slash < 0 ? '' : groupVersion.slice(0, slash),
		version: groupVersion.slice(slash + 1),
		kind: name,
		resource,
		singular: name.toLowerCase(),
		shortNames: [],
		categories: [],
		namespaced: true,
		status: false,
		scale: false,
		generation: false,
		...extra,
	};
}

const workload = { status: true, generation: true, categories: ['all'] };

/** Every kind, in discovery order. */
export const KINDS: readonly Kind[] = [
	kind('v1', 'ConfigMap', 'configmaps', { shortNames: ['cm'] }),
	kind('v1', 'Endpoints', 'endpoints', { shortNames: ['ep'], singular: 'endpoints' }),
	kind('v1', 'Event', 'events', { shortNames: ['ev'] }),
	kind('v1', 'Namespace', 'namespaces', { shortNames: ['ns'], namespaced: false, status: true }),
	kind('v1', 'Node', 'nodes', { shortNames: ['no'], namespaced: false, status: true }),
	kind('v1', 'Pod', 'pods', { shortNames: ['po'], categories: ['all'], status: true }),
	kind('v1', 'Secret', 'secrets'),
	kind('v1', 'ServiceAccount', 'serviceaccounts', { shortNames: ['sa'] }),
	kind('v1', 'Service', 'services', { shortNames: ['svc'], categories: ['all'], status: true }),
	kind('apps/v1', 'ControllerRevision', 'controllerrevisions'),
	kind('apps/v1', 'DaemonSet', 'daemonsets', { ...workload, shortNames: ['ds'] }),
	kind('apps/v1', 'Deployment', 'deployments', { ...workload, shortNames: ['deploy'], scale: true }),
	kind('apps/v1', 'ReplicaSet', 'replicasets', { ...workload, shortNames: ['rs'], scale: true }),
	kind('apps/v1', 'StatefulSet', 'statefulsets', { ...workload, shortNames: ['sts'], scale: true }),
	kind('coordination.k8s.io/v1', 'Lease', 'leases'),
	kind('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices', { generation: true }),
	kind('networking.k8s.io/v1', 'IPAddress', 'ipaddresses', { shortNames: ['ip'], namespaced: false }),
	kind('networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs', { namespaced: false, status: true }),
	// Versions that kubectl 1.32 uses to describe the objects
	kind('networking.k8s.io/v1beta1', 'IPAddress', 'ipaddresses', {
		shortNames: ['ip'],
		namespaced: false,
		storedAs: 'ipaddresses',
	}),
	kind('networking.k8s.io/v1beta1', 'ServiceCIDR', 'servicecidrs', {
		namespaced: false,
		status: true,
		storedAs: 'servicecidrs',
	}),
	kind('rbac.authorization.k8s.io/v1', 'ClusterRole', 'clusterroles', { namespaced: false }),
	kind('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding', 'clusterrolebindings', { namespaced: false }),
	kind('rbac.authorization.k8s.io/v1', 'Role', 'roles'),
	kind('rbac.authorization.k8s.io/v1', 'RoleBinding', 'rolebindings'),
	kind('events.k8s.io/v1', 'Event', 'events', { shortNames: ['ev'], storedAs: 'events' }),
];

/** The kind of the scale subresource. The store holds no Scale objects. */
export const SCALE: Kind = kind('autoscaling/v1', 'Scale', 'scales');

const byResource = new Map(KINDS.filter((entry) => !entry.storedAs).map((entry) => [entry.resource, entry]));

/** The kind of a resource name of ObjectApi; undefined if unknown. */
export const kindOf = (resource: string): Kind | undefined => byResource.get(resource);

export const apiVersionOf = (of: Pick<Kind, 'group' | 'version'>): string =>
	of.group ? `${of.group}/${of.version}` : of.version;

export const findKind = (group: string, version: string, resource: string): Kind | undefined =>
	KINDS.find((of) => of.group === group && of.version === version && of.resource === resource);
