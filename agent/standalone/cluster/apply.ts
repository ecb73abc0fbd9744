/** Brings objects into the cluster, in their order. */
import type { Fields, KubeObject } from '../port.ts';
import type { ApiClient } from './api-client.ts';

export interface Applied {
	/** `service/web`, `deployment.apps/web`. */
	readonly object: string;
	readonly outcome: 'created' | 'configured' | 'unchanged' | 'skipped' | 'failed';
	/** Why it was skipped or has failed. */
	readonly reason?: string;
}

/** Where kubectl keeps what it applied last, to know which fields have left the file; so do we, for both to agree. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * An object that is there takes over the fields of the file, and loses those that only the file before had. Lists are
 * the file's. @param namespace of objects that name none
 */
export async function* applyObjects(
	api: ApiClient,
	objects: Iterable<KubeObject>,
	namespace: string,
): AsyncGenerator<Applied> {
	for (const object of objects) yield await applyObject(api, object, namespace);
}

async function applyObject(api: ApiClient, object: KubeObject, namespace: string): Promise<Applied> {
	const { kind, apiVersion = 'v1', metadata } = object;
	const collection = await api.collection(object, namespace);
	if (!collection) {
		const reason = `kind ${kind} of ${apiVersion} is not served here`;
		return { object: `${String(kind).toLowerCase()}/${metadata.name}`, outcome: 'skipped', reason };
	}
	const name = `${collection.called}/${metadata.name}`;
	const path = `${collection.path}/${encodeURIComponent(metadata.name)}`;
	try {
		const before = await api.find(path);
		const wanted = withLastApplied(object);
		if (!before) {
			await api.post(collection.path, wanted);
			return { object: name, outcome: 'created' };
		}
		const last = before.metadata.annotations?.[LAST_APPLIED];
		const after = await api.patch(path, mergePatch(last ? JSON.parse(last) : {}, wanted));
		const same = after.metadata.resourceVersion === before.metadata.resourceVersion;
		return { object: name, outcome: same ? 'unchanged' : 'configured' };
	} catch (error) {
		return { object: name, outcome: 'failed', reason: (error as Error).message };
	}
}

function withLastApplied(object: KubeObject): KubeObject {
	const annotations = { ...object.metadata.annotations, [LAST_APPLIED]: JSON.stringify(object) };
	return { ...object, metadata: { ...object.metadata, annotations } };
}

/** A JSON merge patch (RFC 7396) that makes an object with the fields of `last` into one with those of `now`. */
function mergePatch(last: Fields, now: Fields): Fields {
	if (!isObject(last) || !isObject(now)) return now;
	const gone = Object.keys(last).filter((key) => !(key in now));
	return Object.fromEntries([
		...gone.map((key) => [key, null]),
		...Object.entries(now).map(([key, value]) => [key, mergePatch(last[key], value)]),
	]);
}

function isObject(value: Fields): boolean {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
