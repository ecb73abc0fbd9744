import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { User } from '../../auth/user.ts';
import { methodNotAllowed, noSuchPath } from '../errors.ts';
import { discoveryOf, VERSION } from './discovery.ts';
import type { HandlerDeps } from './exchange.ts';
import { openApi } from './openapi.ts';
import { OPENAPI_V2, openApiV2Bytes } from './openapi-v2.ts';
import { serveResource } from './resource.ts';
import { sendError, sendJson } from './respond.ts';
import { serveReview } from './review.ts';
import { routeOf } from './route.ts';

const HEALTH = new Set(['/healthz', '/livez', '/readyz']);

function sendText(response: ServerResponse, text: string): void {
	response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'content-length': text.length });
	response.end(text);
}

/** Sends protobuf to kubectl, which accepts nothing else here. */
function sendOpenApiV2(request: IncomingMessage, response: ServerResponse): void {
	if (!(request.headers.accept ?? '').includes('protobuf')) {
		sendJson(response, 200, OPENAPI_V2);
		return;
	}
	const body = openApiV2Bytes();
	const type = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
	response.writeHead(200, { 'content-type': type, 'content-length': body.length });
	response.end(body);
}

/** Serves the paths that are not resources. @returns whether `path` is one of them. */
function serveMeta(
	deps: HandlerDeps,
	request: IncomingMessage,
	response: ServerResponse,
	path: string,
): boolean {
	if (HEALTH.has(path)) {
		sendText(response, 'ok');
		return true;
	}
	if (path === '/version' || path === '/version/') {
		sendJson(response, 200, VERSION);
		return true;
	}
	const discovery = discoveryOf(path, request.headers.accept ?? '');
	if (discovery) {
		sendJson(response, 200, discovery.body, discovery.type);
		return true;
	}
	if (path === '/openapi/v2') {
		sendOpenApiV2(request, response);
		return true;
	}
	const schema = openApi(deps.models, path);
	if (!schema) return false;
	sendJson(response, 200, schema);
	return true;
}

async function serve(deps: HandlerDeps, request: IncomingMessage, response: ServerResponse): Promise<void> {
	const url = urlOf(request);
	const user = await deps.gate.admit(request, url);
	if (user && (await serveForUser(deps, user, request, response, url))) return;
	if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
	if (!serveMeta(deps, request, response, url.pathname.replace(/(?<=.)\/$/, ''))) throw noSuchPath();
}

/** @returns whether the path belongs to a review or a resource. */
async function serveForUser(
	deps: HandlerDeps,
	user: User,
	request: IncomingMessage,
	response: ServerResponse,
	{ pathname, searchParams: query }: URL,
): Promise<boolean> {
	const { models, authorizer, tokens } = deps;
	if (tokens && (await serveReview({ models, authorizer, tokens }, user, request, response, pathname)))
		return true;
	const route = routeOf(pathname);
	if (!route) return false;
	await serveResource(deps, { ...route, query, user }, request, response);
	return true;
}

/** The path and query of a request. The host is a placeholder. */
export function urlOf({ url = '/' }: IncomingMessage): URL {
	return new URL(`http://api${url.startsWith('/') ? url : '/'}`);
}

/** Serves the Kubernetes API over HTTP. Every error is sent as a Status. */
export function createHandler(deps: HandlerDeps): RequestListener {
	return (request, response) => {
		response.on('error', () => response.destroy());
		serve(deps, request, response).catch((error: unknown) => sendError(response, error));
	};
}
