import type { KubeObject } from '../port.ts';
import { badRequest, conflict } from './errors.ts';
import { apiVersionOf, type Kind } from './kinds.ts';

/** Metadata fields that the server owns. An update keeps their stored values. */
export const SERVER_OWNED = [
	'uid',
	'creationTimestamp',
	'generation',
	'deletionTimestamp',
	'deletionGracePeriodSeconds',
	'generateName',
	'selfLink',
] as const;

const EMPTY_IS_ABSENT = ['labels', 'annotations', 'ownerReferences', 'finalizers'] as const;

const isEmpty = (value: unknown): boolean =>
	value === null || (typeof value === 'object' && Object.keys(value).length === 0);

export const finalizersOf = (object: KubeObject): string[] => object.metadata.finalizers ?? [];

/** Removes resourceVersion, to compare contents. */
export function withoutVersion(object: KubeObject): KubeObject {
	const { resourceVersion: _ignored, ...metadata } = object.metadata;
	return { ...object, metadata };
}

/**
 * A private copy with apiVersion and kind set.
 * @throws ApiError 400 if the input is not an object of the kind.
 */
export function copy(kind: Kind, input: KubeObject): KubeObject {
	const object = structuredClone(input);
	if (typeof object !== 'object' || object === null || Array.isArray(object))
		throw badRequest('the object provided is not a JSON object');
	const apiVersion = apiVersionOf(kind);
	if (object.kind !== undefined && object.kind !== kind.kind)
		throw badRequest(`the kind in the data (${object.kind}) does not match the expected kind (${kind.kind})`);
	if (object.apiVersion !== undefined && object.apiVersion !== apiVersion)
		throw badRequest(
			`the API version in the data (${object.apiVersion}) does not match the expected API version (${apiVersion})`,
		);
	const { apiVersion: _version, kind: _kind, metadata, ...rest } = object;
	for (const [field, value] of Object.entries({ metadata, spec: rest.spec, status: rest.status }))
		if (value !== undefined && (typeof value !== 'object' || Array.isArray(value)))
			throw badRequest(
				`json: cannot unmarshal ${typeof value} into field ${kind.kind}.${field} of type object`,
			);
	const ordered: KubeObject = { apiVersion, kind: kind.kind, metadata: metadata ?? { name: '' }, ...rest };
	// The server does not track field ownership; stale entries from another server would be
	// misleading
	delete ordered.metadata.managedFields;
	for (const field of EMPTY_IS_ABSENT) if (isEmpty(ordered.metadata[field])) delete ordered.metadata[field];
	return ordered;
}

/** @throws ApiError 409 for a stale resourceVersion or another uid. */
export function checkVersion(kind: Kind, object: KubeObject, old: KubeObject): void {
	const { name, resourceVersion, uid } = object.metadata;
	if (resourceVersion && resourceVersion !== old.metadata.resourceVersion) throw conflict(kind, name);
	if (uid && uid !== old.metadata.uid)
		throw conflict(
			kind,
			name,
			`Precondition failed: UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid}`,
		);
}

/** Restores the server-owned metadata in an update. */
export function keepServerFields(object: KubeObject, old: KubeObject): void {
	const meta = object.metadata;
	for (const field of SERVER_OWNED) {
		if (old.metadata[field] === undefined) delete meta[field];
		else Object.assign(meta, { [field]: old.metadata[field] });
	}
}

/**
 * An update of the main resource keeps the stored status. A status update changes only status and
 * metadata.
 */
export function splitStatus(
	kind: Kind,
	object: KubeObject,
	old: KubeObject,
	subresource: 'status' | undefined,
): void {
	if (!kind.status) return;
	const frozen = subresource === 'status' ? Object.keys(old).concat(Object.keys(object)) : ['status'];
	for (const field of new Set(frozen)) {
		if (field === 'metadata' || (subresource === 'status' && field === 'status')) continue;
		if (old[field] === undefined) delete object[field];
		else object[field] = structuredClone(old[field]);
	}
	if (subresource === 'status') {
		if (old.metadata.ownerReferences) object.metadata.ownerReferences = old.metadata.ownerReferences;
		else delete object.metadata.ownerReferences;
	}
}

/** @throws ApiError 409. */
export function checkPreconditions(
	kind: Kind,
	old: KubeObject,
	preconditions: { uid?: string; resourceVersion?: string } | undefined,
): void {
	for (const [field, said] of [
		['uid', 'UID'],
		['resourceVersion', 'ResourceVersion'],
	] as const) {
		const wanted = preconditions?.[field];
		if (wanted && wanted !== old.metadata[field])
			throw conflict(
				kind,
				old.metadata.name,
				`Precondition failed: ${said} in precondition: ${wanted}, ${said} in object meta: ${old.metadata[field]}`,
			);
	}
}
