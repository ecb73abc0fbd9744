import type { KubeObject, ObjectMeta } from '../port.ts';
import { type FieldError, forbiddenField, invalidField, requiredField } from './field-error.ts';
import type { Kind } from './kinds.ts';
import { labelValue, type NameRule, qualifiedName } from './names.ts';

const ANNOTATIONS_LIMIT = 256 * 1024;

const isStringMap = (value: unknown): value is Record<string, string> =>
	typeof value === 'object' &&
	value !== null &&
	!Array.isArray(value) &&
	Object.values(value).every((entry) => typeof entry === 'string');

/** Validates a label map. @param field path for the errors. */
export function validateLabels(labels: unknown, field: string): FieldError[] {
	if (labels === undefined) return [];
	if (!isStringMap(labels)) return [invalidField(field, labels, 'must be a map of strings')];
	return Object.entries(labels).flatMap(([key, value]) => [
		...qualifiedName(key).map((fault) => invalidField(field, key, fault)),
		...labelValue(value).map((fault) => invalidField(field, value, fault)),
	]);
}

function validateAnnotations(annotations: unknown): FieldError[] {
	const field = 'metadata.annotations';
	if (annotations === undefined) return [];
	if (!isStringMap(annotations)) return [invalidField(field, annotations, 'must be a map of strings')];
	const faults = Object.keys(annotations).flatMap((key) =>
		qualifiedName(key.toLowerCase()).map((fault) => invalidField(field, key, fault)),
	);
	const size = Object.entries(annotations).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
	if (size > ANNOTATIONS_LIMIT)
		faults.push({ type: 'TooLong', field, detail: `may not be more than ${ANNOTATIONS_LIMIT} bytes` });
	return faults;
}

function validateOwners(meta: ObjectMeta): FieldError[] {
	const owners = meta.ownerReferences ?? [];
	const faults = owners.flatMap((owner, index) =>
		(['apiVersion', 'kind', 'name', 'uid'] as const)
			.filter((part) => !owner[part])
			.map((part) =>
				requiredField(`metadata.ownerReferences[${index}].${part}`, `${part} must not be empty`),
			),
	);
	if (owners.filter((owner) => owner.controller === true).length > 1)
		faults.push(
			invalidField(
				'metadata.ownerReferences',
				owners.map((owner) => owner.name),
				'Only one reference can have Controller set to true',
			),
		);
	return faults;
}

/** Validates metadata on create and on update. */
export function validateMeta(object: KubeObject, kind: Kind, rule: NameRule): FieldError[] {
	const meta = object.metadata;
	const faults: FieldError[] = [];
	if (!meta.name) faults.push(requiredField('metadata.name', 'name or generateName is required'));
	else faults.push(...rule(meta.name).map((fault) => invalidField('metadata.name', meta.name, fault)));
	if (kind.namespaced && !meta.namespace) faults.push(requiredField('metadata.namespace'));
	if (!kind.namespaced && meta.namespace)
		faults.push(forbiddenField('metadata.namespace', 'not allowed on this type'));
	faults.push(...validateLabels(meta.labels, 'metadata.labels'), ...validateAnnotations(meta.annotations));
	faults.push(...validateOwners(meta));
	return faults;
}

const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';

/**
 * Five random characters from Kubernetes' alphabet for generated names (no vowels, no look-alikes).
 */
export const randomSuffix = (random: () => number): string =>
	Array.from({ length: 5 }, () => SUFFIX[Math.floor(random() * SUFFIX.length)]).join('');
