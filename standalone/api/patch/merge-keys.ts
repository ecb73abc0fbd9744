/**
 * How a strategic merge patch treats a field, from the `patchStrategy` and `patchMergeKey` tags of
 * k8s.io/api. Rules are keyed by the field path from the object's root, without indexes. A patch
 * replaces lists without a rule.
 */
export interface MergeRule {
	/** Merge key of a list of objects. Undefined for lists of plain values, which merge as sets. */
	key?: string;
	/** The patch keeps only the map entries that it lists (`retainKeys`). */
	retain?: boolean;
}

const CONTAINER: Record<string, string> = {
	ports: 'containerPort',
	env: 'name',
	volumeMounts: 'mountPath',
	volumeDevices: 'devicePath',
};

const POD_SPEC: Record<string, string> = {
	containers: 'name',
	initContainers: 'name',
	ephemeralContainers: 'name',
	volumes: 'name',
	imagePullSecrets: 'name',
	hostAliases: 'ip',
	topologySpreadConstraints: 'topologyKey',
	resourceClaims: 'name',
};

function podRules(prefix: string): [string, MergeRule][] {
	const spec = Object.entries(POD_SPEC).map(([field, key]): [string, MergeRule] => [
		`${prefix}.${field}`,
		{ key },
	]);
	const containers = ['containers', 'initContainers', 'ephemeralContainers'].flatMap((list) =>
		Object.entries(CONTAINER).map(([field, key]): [string, MergeRule] => [
			`${prefix}.${list}.${field}`,
			{ key },
		]),
	);
	return [...spec, ...containers];
}

const COMMON: [string, MergeRule][] = [
	['metadata.ownerReferences', { key: 'uid' }],
	['metadata.finalizers', {}],
];
const CONDITIONS: [string, MergeRule] = ['status.conditions', { key: 'type' }];
const TEMPLATE = podRules('spec.template.spec');
const WORKLOAD: [string, MergeRule][] = [...TEMPLATE, CONDITIONS];

const RULES: Record<string, [string, MergeRule][]> = {
	Service: [['spec.ports', { key: 'port' }], CONDITIONS],
	Pod: [...podRules('spec'), CONDITIONS, ['status.podIPs', { key: 'ip' }], ['status.hostIPs', { key: 'ip' }]],
	Deployment: [...WORKLOAD, ['spec.strategy', { retain: true }]],
	ReplicaSet: WORKLOAD,
	StatefulSet: WORKLOAD,
	DaemonSet: WORKLOAD,
	Node: [['status.addresses', { key: 'type' }], CONDITIONS, ['spec.podCIDRs', {}]],
	Namespace: [CONDITIONS],
	ServiceAccount: [
		['secrets', { key: 'name' }],
		['imagePullSecrets', { key: 'name' }],
	],
};

const byKind = new Map(
	Object.entries(RULES).map(([kind, rules]) => [kind, new Map<string, MergeRule>([...COMMON, ...rules])]),
);
const common = new Map(COMMON);

/** The merge rules of a kind, by field path. */
export const mergeRulesOf = (kind: string): ReadonlyMap<string, MergeRule> => byKind.get(kind) ?? common;
