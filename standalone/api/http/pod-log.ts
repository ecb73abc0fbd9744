import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ApiError, badRequest, methodNotAllowed } from '../errors.ts';
import type { LogRequest } from '../pod-access.ts';
import type { Exchange } from './exchange.ts';
import { numberOf } from './listing.ts';
import { flagOf } from './query.ts';

/** Serves pods/log. @throws ApiError. */
export async function servePodLog({ deps, asked, request, response }: Exchange): Promise<void> {
	if (request.method !== 'GET') throw methodNotAllowed();
	const pod = deps.objects.mustGet('pods', asked.namespace, asked.name ?? '');
	const gone = new AbortController();
	response.once('close', () => gone.abort());
	const signal = AbortSignal.any([gone.signal, deps.signal]);
	const text = accessOf(deps).log(pod, logRequest(asked.query, deps.clock()), signal);
	response.writeHead(200, { 'content-type': 'text/plain' });
	// Sends the headers now: a client that follows a pod without output gets its response at once
	response.flushHeaders();
	await pipeline(Readable.from(text), response).catch(() => {}); // the client closed the connection
}

/** @throws ApiError 503 if the server has no nodes. */
export function accessOf({ pods }: Exchange['deps']): NonNullable<typeof pods> {
	if (pods) return pods;
	throw new ApiError(503, 'ServiceUnavailable', 'no node serves pods behind this API server');
}

function logRequest(query: URLSearchParams, now: number): LogRequest {
	const flag = (name: string) => flagOf(query, name);
	const sinceTime = query.get('sinceTime');
	const sinceSeconds = atLeast(query, 'sinceSeconds', 1);
	if (sinceTime && sinceSeconds !== undefined)
		throw badRequest('at most one of `sinceTime` or `sinceSeconds` may be specified');
	return {
		container: query.get('container') || undefined,
		previous: flag('previous'),
		follow: flag('follow'),
		timestamps: flag('timestamps'),
		tailLines: atLeast(query, 'tailLines', 0),
		since: sinceTime ? Date.parse(sinceTime) : sinceSeconds && now - sinceSeconds * 1000,
		limitBytes: atLeast(query, 'limitBytes', 1),
	};
}

function atLeast(query: URLSearchParams, name: string, least: number): number | undefined {
	const value = numberOf(query, name);
	if (value === undefined || value >= least) return value;
	throw badRequest(`Invalid value: ${value}: ${name}: must be greater than or equal to ${least}`);
}
