/**
 * Gives agents exactly the rights of the DaemonSet. A right missing in its ClusterRole shows up
 * here first.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import type { ClusterRole, ClusterRoleBinding, KubeObject, ObjectApi } from '../port.ts';
import { AGENTS_GROUP } from './credentials.ts';

const MANIFEST = fileURLToPath(new URL('../../deploy/base/rbac.yaml', import.meta.url));
/** Differs from the manifest's own names, because the user may apply the manifest. */
const NAME = 'maglane:agents';
const RBAC = 'rbac.authorization.k8s.io';

/** Creates or updates the agents' ClusterRole with the DaemonSet's rules, and its binding. */
export function ensureAgentRoles(objects: ObjectApi): void {
	const role: ClusterRole = { metadata: { name: NAME }, rules: daemonSetRules() };
	const binding: ClusterRoleBinding = {
		metadata: { name: NAME },
		roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: NAME },
		subjects: [{ apiGroup: RBAC, kind: 'Group', name: AGENTS_GROUP }],
	};
	put(objects, 'clusterroles', role);
	put(objects, 'clusterrolebindings', binding);
}

/** Rules of all ClusterRoles of the DaemonSet: an agent of the cluster may have every feature. */
function daemonSetRules(): NonNullable<ClusterRole['rules']> {
	const documents = parseAllDocuments(readFileSync(MANIFEST, 'utf8')).map((one) => one.toJS() as ClusterRole);
	const roles = documents.filter(({ kind }) => kind === 'ClusterRole');
	if (roles.length === 0) throw new Error(`Cannot find a ClusterRole of the agents in ${MANIFEST}`);
	return roles.flatMap(({ rules }) => rules!);
}

function put(objects: ObjectApi, resource: string, object: KubeObject): void {
	const stored = objects.get(resource, undefined, object.metadata.name);
	if (stored) objects.update(resource, { ...stored, ...object, metadata: stored.metadata });
	else objects.create(resource, object);
}
