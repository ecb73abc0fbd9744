/** ClusterRoles and bindings of every API server (rbac/bootstrappolicy). */
import type { KubeObject, ObjectApi } from '../port.ts';
import type { PolicyRule } from './access.ts';
import { AUTHENTICATED, MASTERS } from './user.ts';

const RBAC = 'rbac.authorization.k8s.io';

const ROLES: Readonly<Record<string, readonly PolicyRule[]>> = {
	'cluster-admin': [
		{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
		{ verbs: ['*'], nonResourceURLs: ['*'] },
	],
	'system:discovery': [
		{
			verbs: ['get'],
			nonResourceURLs: [
				'/api',
				'/api/*',
				'/apis',
				'/apis/*',
				'/healthz',
				'/livez',
				'/openapi',
				'/openapi/*',
				'/readyz',
				'/version',
				'/version/',
			],
		},
	],
	'system:basic-user': [
		{
			verbs: ['create'],
			apiGroups: ['authorization.k8s.io'],
			resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
		},
		{ verbs: ['create'], apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'] },
	],
};
const BINDINGS: Readonly<Record<string, string>> = {
	'cluster-admin': MASTERS,
	'system:discovery': AUTHENTICATED,
	'system:basic-user': AUTHENTICATED,
};

/** Puts the defaults in place where they are missing. @returns stop. */
export function ensureBootstrapRoles(objects: ObjectApi): () => void {
	for (const [name, rules] of Object.entries(ROLES))
		create(objects, 'clusterroles', { metadata: { name }, rules });
	for (const [name, group] of Object.entries(BINDINGS))
		create(objects, 'clusterrolebindings', {
			metadata: { name },
			roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
			subjects: [{ apiGroup: RBAC, kind: 'Group', name: group }],
		});
	return () => {};
}

function create(objects: ObjectApi, resource: string, object: KubeObject): void {
	if (!objects.get(resource, undefined, object.metadata.name)) objects.create(resource, object);
}
