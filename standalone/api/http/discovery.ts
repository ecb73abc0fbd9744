import { KINDS, type Kind } from '../kinds.ts';
import { REVIEW_RESOURCES } from './review.ts';

/** The supported API version. kubectl compares it with its own. */
export const VERSION = {
	major: '1',
	minor: '32',
	gitVersion: 'v1.32.0+maglane',
	gitCommit: '',
	gitTreeState: 'clean',
	buildDate: '1970-01-01T00:00:00Z',
	goVersion: '',
	compiler: 'node',
	platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

interface Sub {
	name: string;
	kind: string;
	group?: string;
	version?: string;
	verbs: string[];
}

function subresources(of: Kind): Sub[] {
	const subs: Sub[] = [];
	if (of.scale)
		subs.push({
			name: 'scale',
			kind: 'Scale',
			group: 'autoscaling',
			version: 'v1',
			verbs: ['get', 'patch', 'update'],
		});
	if (of.status) subs.push({ name: 'status', kind: of.kind, verbs: ['get', 'patch', 'update'] });
	if (of.resource === 'serviceaccounts')
		subs.push({
			name: 'token',
			kind: 'TokenRequest',
			group: 'authentication.k8s.io',
			version: 'v1',
			verbs: ['create'],
		});
	if (of.resource === 'pods')
		subs.push(
			{ name: 'attach', kind: 'PodAttachOptions', verbs: ['create', 'get'] },
			{ name: 'binding', kind: 'Binding', verbs: ['create'] },
			{ name: 'exec', kind: 'PodExecOptions', verbs: ['create', 'get'] },
			{ name: 'log', kind: 'Pod', verbs: ['get'] },
			{ name: 'portforward', kind: 'PodPortForwardOptions', verbs: ['create', 'get'] },
		);
	return subs;
}

/** A resource as listed by discovery. */
interface Resource {
	readonly group: string;
	readonly version: string;
	readonly name: string;
	readonly singular: string;
	readonly namespaced: boolean;
	readonly kind: string;
	readonly verbs: readonly string[];
	/** The non-empty lists of other names. */
	readonly names: { shortNames?: readonly string[]; categories?: readonly string[] };
	readonly subresources: readonly Sub[];
}

const RESOURCES: readonly Resource[] = [
	...KINDS.map((of) => ({
		...of,
		name: of.resource,
		verbs: VERBS,
		names: {
			...(of.shortNames.length > 0 ? { shortNames: of.shortNames } : {}),
			...(of.categories.length > 0 ? { categories: of.categories } : {}),
		},
		subresources: subresources(of),
	})),
	...REVIEW_RESOURCES.map((of) => ({
		...of,
		name: of.resource,
		singular: of.kind.toLowerCase(),
		verbs: ['create'],
		names: {},
		subresources: [],
	})),
];

function resourceList(groupVersion: string, of: readonly Resource[]): object {
	const resources = of.flatMap(({ name, singular: singularName, namespaced, kind, verbs, ...more }) => [
		{ name, singularName, namespaced, kind, verbs, ...more.names },
		...more.subresources.map((sub) => ({
			...sub,
			name: `${name}/${sub.name}`,
			singularName: '',
			namespaced,
		})),
	]);
	return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

const groups = (): string[] => [...new Set(RESOURCES.map((of) => of.group).filter((group) => group !== ''))];

/** Versions of a group, the preferred one first. */
const versionsOf = (group: string): string[] => [
	...new Set(RESOURCES.filter((of) => of.group === group).map((of) => of.version)),
];

function groupOf(group: string): object {
	const versions = versionsOf(group).map((version) => ({ groupVersion: `${group}/${version}`, version }));
	return { name: group, versions, preferredVersion: versions[0] };
}

function aggregatedResource(of: Resource): object {
	const kind = (group: string, version: string, name: string) => ({ group, version, kind: name });
	return {
		resource: of.name,
		responseKind: kind(of.group, of.version, of.kind),
		scope: of.namespaced ? 'Namespaced' : 'Cluster',
		singularResource: of.singular,
		verbs: of.verbs,
		...of.names,
		subresources: of.subresources.map((sub) => ({
			subresource: sub.name,
			responseKind: kind(sub.group ?? of.group, sub.version ?? of.version, sub.kind),
			verbs: sub.verbs,
		})),
	};
}

function aggregated(names: readonly string[]): object {
	const items = names.map((group) => ({
		metadata: { name: group, creationTimestamp: null },
		versions: versionsOf(group).map((version) => ({
			version,
			resources: RESOURCES.filter((of) => of.group === group && of.version === version).map(
				aggregatedResource,
			),
			freshness: 'Current',
		})),
	}));
	return { kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2', metadata: {}, items };
}

/** The discovery document of a path; undefined if the path has none. */
export function discoveryOf(path: string, accept: string): { body: object; type?: string } | undefined {
	const wantsAggregated = accept.includes('g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
	if (path === '/api') {
		if (wantsAggregated) return { body: aggregated(['']), type: AGGREGATED };
		return { body: { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] } };
	}
	if (path === '/apis') {
		if (wantsAggregated) return { body: aggregated(groups()), type: AGGREGATED };
		return { body: { kind: 'APIGroupList', apiVersion: 'v1', groups: groups().map(groupOf) } };
	}
	if (path === '/api/v1')
		return {
			body: resourceList(
				'v1',
				RESOURCES.filter((of) => of.group === ''),
			),
		};
	const [root, group = '', version] = path.slice(1).split('/');
	const found = RESOURCES.filter(
		(of) => of.group === group && (version === undefined || of.version === version),
	);
	if (root !== 'apis' || found.length === 0 || path.split('/').length > 4) return undefined;
	if (version !== undefined) return { body: resourceList(`${group}/${version}`, found) };
	return { body: { kind: 'APIGroup', apiVersion: 'v1', ...groupOf(group) } };
}
