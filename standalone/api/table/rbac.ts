import type { Fields, KubeObject } from '../../port.ts';
import { AGE, type Column, column, NAME, wide } from './column.ts';

export const roles: Column[] = [
	NAME,
	column('Created At', (object) => object.metadata.creationTimestamp ?? ''),
];

const subjectsOf =
	(kind: string, text: (subject: Fields) => string) =>
	(object: KubeObject): string =>
		((object['subjects'] ?? []) as Fields[])
			.filter((subject) => subject.kind === kind)
			.map(text)
			.join(', ');

export const bindings: Column[] = [
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
