/** The result of applying one object. */
import type { KubeObject } from '../port.ts';
import type { ApiClient } from './api-client.ts';

export interface Applied {
	/** Like `service/web`, `deployment.apps/web`. */
	readonly object: string;
	readonly outcome: 'created' | 'configured' | 'unchanged' | 'skipped' | 'failed';
	/** The reason for `skipped` or `failed`. */
	readonly reason?: string;
}

/**
 * kubectl's annotation with the last applied object, to find fields removed from the file. We use
 * the same one, so that both tools can update an object.
 */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/**
 * Applies objects in order. An existing object gets the fields of the file and loses fields that
 * only the previous file had. Lists are replaced.
 * @param namespace for objects without one.
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

/**
 * Builds the JSON merge patch (RFC 7396) from an object with the fields of `last` to one with those
 * of `now`.
 */
function mergePatch(last: unknown, now: object): object;
function mergePatch(last: unknown, now: unknown): unknown;
function mergePatch(last: unknown, now: unknown): unknown {
	if (!isObject(last) || !isObject(now)) return now;
	const gone = Object.keys(last).filter((key) => !(key in now));
	return Object.fromEntries([
		...gone.map((key) => [key, null]),
		...Object.entries(now).map(([key, value]) => [key, mergePatch(last[key], value)]),
	]);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === 'object' && value !== null && !Array.isArray(value);
}
