/** Agents have the rights that the DaemonSet has, and no more: what its ClusterRole lacks shows here first. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import type { KubeObject, ObjectApi } from '../port.ts';
import { AGENTS_GROUP } from './credentials.ts';

const MANIFEST = fileURLToPath(new URL('../../../deploy/base/rbac.yaml', import.meta.url));
/** Not the manifest's own names: those are the user's, who may apply it. */
const NAME = 'maglane:agents';
const RBAC = 'rbac.authorization.k8s.io';

/** Puts a ClusterRole with the rules of the DaemonSet's in place, and binds it to the agents. */
export function ensureAgentRoles(objects: ObjectApi): void {
	const role: KubeObject = { ...daemonSetRole(), metadata: { name: NAME } };
	const binding: KubeObject = {
		metadata: { name: NAME },
		roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name: NAME },
		subjects: [{ apiGroup: RBAC, kind: 'Group', name: AGENTS_GROUP }],
	};
	put(objects, 'clusterroles', role);
	put(objects, 'clusterrolebindings', binding);
}

function daemonSetRole(): KubeObject {
	const documents = parseAllDocuments(readFileSync(MANIFEST, 'utf8')).map((one) => one.toJS() as KubeObject);
	const role = documents.find(({ kind }) => kind === 'ClusterRole');
	if (!role) throw new Error(`Cannot find the ClusterRole of the agents in ${MANIFEST}`);
	return role;
}

function put(objects: ObjectApi, resource: string, object: KubeObject): void {
	const stored = objects.get(resource, undefined, object.metadata.name);
	if (stored) objects.update(resource, { ...stored, ...object, metadata: stored.metadata });
	else objects.create(resource, object);
}
