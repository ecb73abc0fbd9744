import type { IncomingMessage, ServerResponse } from 'node:http';
import type { V1Binding, V1DeleteOptions } from '@kubernetes/client-node';
import { checkEscalation } from '../../auth/escalation.ts';
import { MASTERS } from '../../auth/user.ts';
import type { KubeObject } from '../../port.ts';
import { badRequest, methodNotAllowed, noSuchPath, type Status } from '../errors.ts';
import type { Kind } from '../kinds.ts';
import type { DeleteOptions } from '../objects.ts';
import { applyPatch, checkPatchType } from '../patch/patch.ts';
import { checkFields } from '../schema/strict.ts';
import { mediaType, parseObject, readBody, readBytes } from './body.ts';
import { type Exchange, type HandlerDeps, type ResourceRequest, writeOptions } from './exchange.ts';
import { listPage, numberOf, selectorOf } from './listing.ts';
import { servePodLog } from './pod-log.ts';
import { flagOf } from './query.ts';
import { represent, representationOf, representList } from './represent.ts';
import { sendJson } from './respond.ts';
import type { Route } from './route.ts';
import { serveScale } from './scale.ts';
import { STREAMING } from './streaming.ts';
import { serveToken } from './token-request.ts';
import { objectOf, readTyped, typed } from './typed-body.ts';
import { storedOf, viewOf } from './view.ts';
import { serveWatch } from './watch.ts';

/** Sends an object after all recorded writes are durable. */
export async function sendObject(
	{ deps, asked, request, response }: Exchange,
	code: number,
	object: KubeObject,
): Promise<void> {
	await deps.committed();
	const form = representationOf(request.headers.accept, asked.query);
	sendJson(response, code, represent(asked.kind, object, form, deps.clock()));
}

const BINDING = { group: '', version: 'v1', kind: 'Binding' };
const DELETE_OPTIONS = { group: '', version: 'v1', kind: 'DeleteOptions' };

/**
 * Parses the body as an object of the route's kind. Rejects unknown fields, warns of them or
 * ignores them, as the client requests.
 */
async function readObject(exchange: Exchange): Promise<KubeObject> {
	const { request } = exchange;
	const body = parseObject(await readBytes(request), mediaType(request));
	return checked(exchange, objectOf(body) as unknown as KubeObject);
}

function checked({ deps, asked, response }: Exchange, object: KubeObject): KubeObject {
	const { kind } = asked;
	const { object: known, unknown } = checkFields(deps.models, kind, object);
	const mode = asked.query.get('fieldValidation') ?? 'Warn';
	if (unknown.length > 0 && mode === 'Strict')
		throw badRequest(
			`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: strict decoding error: ${unknown.map((field) => `unknown field "${field}"`).join(', ')}`,
		);
	if (unknown.length > 0 && mode === 'Warn')
		response.setHeader(
			'warning',
			unknown.map((field) => `299 - "unknown field \\"${field}\\""`),
		);
	return known;
}

/** The stored form of the body, with the namespace and name of the path. */
function locate({ asked }: Exchange, object: KubeObject): KubeObject {
	const stored = storedOf(asked.kind, object);
	const metadata = { ...stored.metadata };
	const { namespace } = asked;
	if (namespace !== undefined) {
		if (metadata.namespace && metadata.namespace !== namespace)
			throw badRequest(
				`the namespace of the provided object does not match the namespace sent on the request`,
			);
		metadata.namespace = namespace;
	}
	if (asked.name !== undefined) {
		if (metadata.name && metadata.name !== asked.name)
			throw badRequest(
				`the name of the object (${metadata.name}) does not match the name on the URL (${asked.name})`,
			);
		metadata.name = asked.name;
	}
	return { ...stored, metadata };
}

/** Users may grant only rights that they have themselves. @throws ApiError 403. */
function checkGrants({ deps, asked, resource }: Exchange, object: KubeObject): void {
	const old = asked.name === undefined ? undefined : deps.objects.get(resource, asked.namespace, asked.name);
	checkEscalation(deps.authorizer, deps.objects, asked.user, resource, object, old);
}

async function create(exchange: Exchange): Promise<void> {
	const { deps, asked, request, resource } = exchange;
	if (asked.subresource === 'binding') {
		await bind(exchange);
		return;
	}
	if (asked.name !== undefined) throw methodNotAllowed();
	if (asked.kind.namespaced && asked.namespace === undefined) throw methodNotAllowed();
	const unsafe =
		deps.unsafe && request.headers['x-maglane-unsafe'] !== undefined && asked.user.groups.includes(MASTERS);
	const object = locate(exchange, await (unsafe ? readUnchecked(request) : readObject(exchange)));
	checkGrants(exchange, object);
	const stored = unsafe
		? deps.objects.unsafePut(resource, object)
		: deps.objects.create(resource, object, writeOptions(asked.query));
	await sendObject(exchange, 201, stored);
}

const readUnchecked = async (request: IncomingMessage): Promise<KubeObject> =>
	parseObject(await readBytes(request), mediaType(request)) as KubeObject;

/** pods/binding: with this subresource, a scheduler sets a pod's node. */
async function bind(exchange: Exchange): Promise<void> {
	const { deps, asked, request, response } = exchange;
	if (asked.kind.resource !== 'pods' || asked.name === undefined) throw noSuchPath();
	const binding = await readTyped<Partial<V1Binding>>(deps.models, BINDING, request);
	const pod = deps.objects.mustGet('pods', asked.namespace, asked.name);
	if (!binding.target?.name) throw badRequest('target.name: Required value');
	const bound = { ...pod, spec: { ...pod.spec, nodeName: binding.target.name } };
	deps.objects.update('pods', bound, writeOptions(asked.query));
	await deps.committed();
	sendJson(response, 201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

async function read(exchange: Exchange): Promise<void> {
	const { deps, asked, request, response, resource } = exchange;
	const form = representationOf(request.headers.accept, asked.query);
	if (flagOf(asked.query, 'watch')) {
		const { kind, namespace, name, query } = asked;
		serveWatch(deps, { kind, namespace, name, query, representation: form }, request, response);
		return;
	}
	if (asked.name !== undefined) {
		await sendObject(exchange, 200, deps.objects.mustGet(resource, asked.namespace, asked.name));
		return;
	}
	await deps.committed();
	const { items, meta } = listPage(deps.objects, asked.kind, asked.namespace, asked.query);
	sendJson(response, 200, representList(asked.kind, items, meta, form, deps.clock()));
}

async function replace(exchange: Exchange): Promise<void> {
	const { deps, asked, resource } = exchange;
	if (asked.name === undefined) throw methodNotAllowed();
	const object = locate(exchange, await readObject(exchange));
	checkGrants(exchange, object);
	await sendObject(
		exchange,
		200,
		deps.objects.update(resource, object, writeOptions(asked.query, asked.subresource)),
	);
}

async function patch(exchange: Exchange): Promise<void> {
	const { deps, asked, request, resource } = exchange;
	if (asked.name === undefined) throw methodNotAllowed();
	checkPatchType(mediaType(request));
	const text = await readBody(request);
	const current = deps.objects.mustGet(resource, asked.namespace, asked.name);
	const patched = applyPatch(mediaType(request), text, viewOf(asked.kind, current));
	const object = locate(exchange, checked(exchange, patched));
	checkGrants(exchange, object);
	const options = writeOptions(asked.query, asked.subresource);
	await sendObject(exchange, 200, deps.objects.update(resource, object, options));
}

async function deleteOptions({ deps, asked, request }: Exchange): Promise<DeleteOptions> {
	const bytes = await readBytes(request);
	const sent = bytes.length === 0 ? {} : parseObject(bytes, mediaType(request));
	const body = typed<V1DeleteOptions>(deps.models, DELETE_OPTIONS, sent);
	const query = asked.query;
	const grace = numberOf(query, 'gracePeriodSeconds') ?? body.gracePeriodSeconds;
	const policy = query.get('propagationPolicy') ?? body.propagationPolicy;
	const orphan = body.orphanDependents === true ? 'Orphan' : undefined;
	const dryRun = query.get('dryRun') === 'All' || body.dryRun?.includes('All') === true;
	return {
		dryRun,
		gracePeriodSeconds: grace,
		propagationPolicy: (policy ?? orphan) as DeleteOptions['propagationPolicy'],
		preconditions: body.preconditions,
	};
}

const deletedStatus = (kind: Kind, object: KubeObject): Status => ({
	kind: 'Status',
	apiVersion: 'v1',
	metadata: {},
	status: 'Success',
	details: {
		name: object.metadata.name,
		...(kind.group ? { group: kind.group } : {}),
		kind: kind.resource,
		uid: object.metadata.uid!,
	},
});

async function remove(exchange: Exchange): Promise<void> {
	const { deps, asked, response, resource } = exchange;
	const options = await deleteOptions(exchange);
	if (asked.name === undefined) {
		await deleteCollection(exchange, options);
		return;
	}
	const before = deps.objects.mustGet(resource, asked.namespace, asked.name);
	const left = deps.objects.remove(resource, asked.namespace, asked.name, options);
	if (left) {
		await sendObject(exchange, 200, left);
		return;
	}
	await deps.committed();
	sendJson(response, 200, deletedStatus(asked.kind, before));
}

async function deleteCollection(
	{ deps, asked, request, response, resource }: Exchange,
	options: DeleteOptions,
): Promise<void> {
	if (asked.kind.namespaced && asked.namespace === undefined) throw methodNotAllowed();
	const selector = selectorOf(asked.kind, asked.query);
	const items = deps.objects.list(resource, asked.namespace).filter((object) => selector?.(object) ?? true);
	for (const { metadata } of items) {
		// The deletion of its owner earlier in this loop may have deleted the object
		if (!deps.objects.get(resource, metadata.namespace, metadata.name)) continue;
		deps.objects.remove(resource, metadata.namespace, metadata.name, options);
	}
	await deps.committed();
	const form = representationOf(request.headers.accept, asked.query);
	const meta = { resourceVersion: String(deps.objects.store.revision) };
	sendJson(response, 200, representList(asked.kind, items, meta, form, deps.clock()));
}

const VERBS: Record<string, (exchange: Exchange) => void | Promise<void>> = {
	GET: read,
	HEAD: read,
	POST: create,
	PUT: replace,
	PATCH: patch,
	DELETE: remove,
};

function checkSubresource({ kind, subresource }: Route, method: string): void {
	if (subresource === undefined) return;
	if (subresource === 'status' && kind.status && ['GET', 'PUT', 'PATCH'].includes(method)) return;
	if (subresource === 'scale' && kind.scale) return;
	if (subresource === 'log' && kind.resource === 'pods') return;
	if (STREAMING.includes(subresource) && kind.resource === 'pods')
		throw badRequest('Upgrade request required');
	if (subresource === 'token' && kind.resource === 'serviceaccounts') return;
	if (subresource === 'binding' && kind.resource === 'pods' && method === 'POST') return;
	throw noSuchPath();
}

/** Serves a request for a resource. @throws ApiError. */
export async function serveResource(
	deps: HandlerDeps,
	asked: ResourceRequest,
	request: IncomingMessage,
	response: ServerResponse,
): Promise<void> {
	const method = request.method ?? 'GET';
	const verb = VERBS[method];
	if (!verb) throw methodNotAllowed();
	checkSubresource(asked, method);
	const exchange: Exchange = {
		deps,
		asked,
		request,
		response,
		resource: asked.kind.storedAs ?? asked.kind.resource,
	};
	if (asked.subresource === 'scale') await serveScale(exchange);
	else if (asked.subresource === 'token') await serveToken(exchange);
	else if (asked.subresource === 'log') await servePodLog(exchange);
	else await verb(exchange);
}
