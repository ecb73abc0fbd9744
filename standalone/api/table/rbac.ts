import type { ClusterRole, ClusterRoleBinding, RbacSubject, Role, RoleBinding } from '../../port.ts';
import { AGE, type Column, column, NAME, wide } from './column.ts';

type Binding = ClusterRoleBinding | RoleBinding;

export const roles: Column<ClusterRole | Role>[] = [
	NAME,
	column('Created At', (object) => object.metadata.creationTimestamp ?? ''),
];

const subjectsOf =
	(kind: string, text: (subject: RbacSubject) => string) =>
	(object: Binding): string =>
		(object.subjects ?? [])
			.filter((subject) => subject.kind === kind)
			.map(text)
			.join(', ');

export const bindings: Column<Binding>[] = [
	NAME,
	column('Role', ({ roleRef }) => `${roleRef?.kind}/${roleRef?.name}`),
	AGE,
	wide(
		'Users',
		subjectsOf('User', ({ name }) => name),
	),
	wide(
		'Groups',
		subjectsOf('Group', ({ name }) => name),
	),
	wide(
		'ServiceAccounts',
		subjectsOf('ServiceAccount', ({ name, namespace }) => (namespace ? `${namespace}/${name}` : name)),
	),
];
