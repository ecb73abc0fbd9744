/**
 * serviceaccounts/token: for `kubectl create token` and clients that request tokens for pods
 * (KEP-1205).
 */
import type { V1BoundObjectReference, V1TokenRequestSpec } from '@kubernetes/client-node';
import type { BoundKind, BoundObject } from '../../auth/tokens.ts';
import { ApiError, badRequest, methodNotAllowed, noSuchPath } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import { sendJson } from './respond.ts';
import { readTyped } from './typed-body.ts';

const TYPE = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
const DEFAULT_SECONDS = 3600;
/** kube-apiserver's limits (pkg/apis/authentication/validation). */
const MIN_SECONDS = 600;
const MAX_SECONDS = 2 ** 32;

const RESOURCES: Readonly<Record<BoundKind, string>> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };

/** @throws ApiError 400, 404, 405, 409. */
export async function serveToken({ deps, asked, request, response }: Exchange): Promise<void> {
	if (request.method !== 'POST' || asked.name === undefined) throw methodNotAllowed();
	if (!deps.tokens) throw noSuchPath();
	const { spec } = await readTyped<{ spec?: V1TokenRequestSpec }>(deps.models, TYPE, request);
	const { expirationSeconds = DEFAULT_SECONDS, audiences, boundObjectRef } = spec ?? {};
	const seconds = Number(expirationSeconds);
	if (!(seconds >= MIN_SECONDS && seconds <= MAX_SECONDS))
		throw badRequest(
			`spec.expirationSeconds: Invalid value: ${expirationSeconds}: may not specify a duration less than 10 minutes or larger than 2^32 seconds`,
		);
	const account = deps.objects.mustGet('serviceaccounts', asked.namespace, asked.name);
	const bound = boundObjectRef && boundTo(deps, asked.namespace, boundObjectRef);
	const { token, expires } = await deps.tokens.issue({
		account,
		seconds,
		...(audiences && audiences.length > 0 ? { audiences } : {}),
		...(bound ? { bound } : {}),
	});
	sendJson(response, 201, {
		kind: 'TokenRequest',
		apiVersion: 'authentication.k8s.io/v1',
		metadata: { name: asked.name, namespace: asked.namespace },
		spec: { ...spec, expirationSeconds: seconds },
		status: { token, expirationTimestamp: `${new Date(expires! * 1000).toISOString().slice(0, 19)}Z` },
	});
}

/** @throws ApiError 404 if the object does not exist, 409 for another uid. */
function boundTo(
	{ objects }: Exchange['deps'],
	namespace: string | undefined,
	ref: V1BoundObjectReference,
): BoundObject {
	const kind = ref.kind as BoundKind;
	const resource = Object.hasOwn(RESOURCES, kind) ? RESOURCES[kind] : undefined;
	if (!resource) throw badRequest(`cannot bind token for serviceaccount to object of kind ${ref.kind}`);
	const object = objects.mustGet(resource, kind === 'Node' ? undefined : namespace, ref.name ?? '');
	const { name, uid = '' } = object.metadata;
	if (ref.uid && ref.uid !== uid)
		throw new ApiError(
			409,
			'Conflict',
			`the UID in the bound object reference (${ref.uid}) does not match the UID in record (${uid})`,
			{},
		);
	return { kind, name, uid };
}
