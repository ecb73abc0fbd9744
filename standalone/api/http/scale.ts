import type { ObjectOf, Scale } from '../../port.ts';
import { badRequest, conflict, methodNotAllowed } from '../errors.ts';
import { SCALE } from '../kinds.ts';
import { applyPatch } from '../patch/patch.ts';
import { mediaType, parseObject, readBody } from './body.ts';
import { type Exchange, writeOptions } from './exchange.ts';
import { represent, representationOf } from './represent.ts';
import { sendJson } from './respond.ts';
import { typed } from './typed-body.ts';

/** The resources whose kind has a Scale. */
type ScalableResource = 'deployments' | 'replicasets' | 'statefulsets';
type Scalable = ObjectOf<ScalableResource>;

/** Formats a `metav1.LabelSelector` as text, for `status.selector`. */
function selectorText(selector: Scalable['spec']['selector']): string {
	const exact = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
	const sets = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
		if (operator === 'Exists') return key;
		if (operator === 'DoesNotExist') return `!${key}`;
		return `${key} ${operator === 'In' ? 'in' : 'notin'} (${values.join(',')})`;
	});
	return [...exact, ...sets].join(',');
}

/** The autoscaling/v1 Scale of a workload. */
function scaleOf(object: Scalable): Scale {
	const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
	return {
		kind: 'Scale',
		apiVersion: 'autoscaling/v1',
		metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as Scale['metadata'],
		spec: { replicas: object.spec.replicas! },
		status: { replicas: object.status?.replicas ?? 0, selector: selectorText(object.spec.selector) },
	};
}

/** Serves GET, PUT and PATCH of the scale subresource. */
export async function serveScale({ deps, asked, request, response, resource }: Exchange): Promise<void> {
	const scalable = resource as ScalableResource;
	const { kind, namespace, name = '', query } = asked;
	const object = deps.objects.mustGet(scalable, namespace, name);
	if (request.method === 'GET') {
		const form = representationOf(request.headers.accept, query);
		sendJson(response, 200, represent(SCALE, scaleOf(object), form, deps.clock()));
		return;
	}
	if (request.method !== 'PUT' && request.method !== 'PATCH') throw methodNotAllowed();
	const text = await readBody(request);
	const type = mediaType(request);
	const current = deps.objects.mustGet(scalable, namespace, name);
	const sent =
		request.method === 'PUT'
			? parseObject(Buffer.from(text), type)
			: applyPatch(type, text, scaleOf(current));
	const scale = typed<Partial<Scale>>(deps.models, SCALE, sent);
	const version = scale.metadata?.resourceVersion;
	if (version && version !== current.metadata.resourceVersion) throw conflict(kind, name);
	const replicas = scale.spec?.replicas ?? 0;
	if (!Number.isInteger(replicas)) throw badRequest('spec.replicas must be an integer');
	const updated = deps.objects.update(
		scalable,
		{ ...current, spec: { ...current.spec, replicas } } as Scalable,
		writeOptions(query),
	);
	await deps.committed();
	sendJson(response, 200, scaleOf(updated));
}
