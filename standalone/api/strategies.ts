import { IP_ADDRESSES } from '../alloc/ip-address.ts';
import type { Ranges } from '../alloc/service-allocate.ts';
import { serviceCidrStrategy } from '../alloc/service-cidr.ts';
import { serviceStrategy } from '../alloc/service-strategy.ts';
import type { Incoming, Namespace, Node, Resources, Secret } from '../port.ts';
import { defaultPod } from './defaults/pod.ts';
import {
	defaultDaemonSet,
	defaultDeployment,
	defaultReplicaSet,
	defaultStatefulSet,
} from './defaults/workload.ts';
import { KINDS } from './kinds.ts';
import { dnsLabel, dnsSubdomain } from './names.ts';
import type { Strategy } from './strategy.ts';
import {
	defaultEndpoints,
	defaultSlice,
	validateEndpoints,
	validateSlice,
	validateSliceUpdate,
} from './validate/endpoints.ts';
import { validatePod, validatePodUpdate } from './validate/pod.ts';
import { RBAC_STRATEGIES } from './validate/rbac.ts';
import {
	validateDeployment,
	validateSelectorKept,
	validateStatefulSetUpdate,
	validateWorkload,
} from './validate/workload.ts';

const PLAIN: Strategy = { name: dnsSubdomain };

function namespaceDefaults(namespace: Incoming<Namespace>): void {
	namespace.spec ??= {};
	namespace.spec.finalizers ??= ['kubernetes'];
	namespace.status ??= {};
	namespace.status.phase ??= 'Active';
	// Every API server adds this label, so that selectors can match namespaces by name
	namespace.metadata.labels = {
		...namespace.metadata.labels,
		'kubernetes.io/metadata.name': namespace.metadata.name,
	};
}

/** Moves stringData to data in base64, like the API server on every write. */
function secretDefaults(secret: Incoming<Secret>): void {
	secret.type ??= 'Opaque';
	const plain = secret.stringData;
	if (!plain) return;
	const encoded = Object.entries(plain).map(([key, value]) => [key, Buffer.from(value!).toString('base64')]);
	secret.data = { ...secret.data, ...Object.fromEntries(encoded) };
	delete secret.stringData;
}

function nodeDefaults(node: Incoming<Node>): void {
	node.spec ??= {};
	node.status ??= {};
	if (node.spec.podCIDR && !node.spec.podCIDRs) node.spec.podCIDRs = [node.spec.podCIDR];
}

/** Discards the status of a manifest. A create stores the default status. */
const withoutStatus =
	<T extends { status?: unknown }>(defaults: (object: T) => void) =>
	(object: T): void => {
		delete object.status;
		defaults(object);
	};

const SPECIAL: Record<string, Strategy> = {
	...RBAC_STRATEGIES,
	ipaddresses: IP_ADDRESSES,
	namespaces: {
		name: dnsLabel,
		defaults: namespaceDefaults,
		prepareCreate: (object) => {
			object.status = { phase: 'Active' };
		},
	},
	secrets: { name: dnsSubdomain, defaults: secretDefaults },
	nodes: { name: dnsSubdomain, defaults: nodeDefaults },
	pods: {
		name: dnsSubdomain,
		defaults: defaultPod,
		prepareCreate: withoutStatus(defaultPod),
		validate: validatePod,
		validateUpdate: validatePodUpdate,
	},
	endpoints: { name: dnsSubdomain, defaults: defaultEndpoints, validate: validateEndpoints },
	endpointslices: {
		name: dnsSubdomain,
		defaults: defaultSlice,
		validate: validateSlice,
		validateUpdate: validateSliceUpdate,
	},
	deployments: {
		name: dnsSubdomain,
		defaults: defaultDeployment,
		prepareCreate: withoutStatus(defaultDeployment),
		validate: validateDeployment,
		validateUpdate: validateSelectorKept,
	},
	replicasets: {
		name: dnsSubdomain,
		defaults: defaultReplicaSet,
		prepareCreate: withoutStatus(defaultReplicaSet),
		validate: validateWorkload,
		validateUpdate: validateSelectorKept,
	},
	statefulsets: {
		name: dnsSubdomain,
		defaults: defaultStatefulSet,
		prepareCreate: withoutStatus(defaultStatefulSet),
		validate: validateWorkload,
		validateUpdate: validateStatefulSetUpdate,
	},
	daemonsets: {
		name: dnsSubdomain,
		defaults: defaultDaemonSet,
		prepareCreate: withoutStatus(defaultDaemonSet),
		validate: validateWorkload,
		validateUpdate: validateSelectorKept,
	},
} satisfies { [R in keyof Resources]?: Strategy<Resources[R]> };

/** Creates the strategies of all stored resources. */
export function createStrategies(ranges: Ranges): ReadonlyMap<string, Strategy> {
	const entries = KINDS.filter((kind) => !kind.storedAs).map(({ resource }): [string, Strategy] => [
		resource,
		SPECIAL[resource] ?? PLAIN,
	]);
	return new Map<string, Strategy>([
		...entries,
		['services', serviceStrategy(ranges)],
		['servicecidrs', serviceCidrStrategy(ranges)],
	]);
}
