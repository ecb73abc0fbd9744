/** State of one request, and the dependencies that all requests share. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authorizer } from '../../auth/access.ts';
import type { Tokens } from '../../auth/tokens.ts';
import type { User } from '../../auth/user.ts';
import { badRequest } from '../errors.ts';
import type { Objects, WriteOptions } from '../objects.ts';
import type { PodAccess } from '../pod-access.ts';
import type { Models } from '../schema/models.ts';
import type { Gate } from './gate.ts';
import type { Route } from './route.ts';

export interface HandlerDeps {
	objects: Objects;
	/** Milliseconds. */
	bookmarkInterval: number;
	unsafe: boolean;
	models: Models;
	clock: () => number;
	/** Resolves when all earlier writes are durable. */
	committed: () => Promise<void>;
	/** Undefined on a server without nodes. */
	pods: PodAccess | undefined;
	signal: AbortSignal;
	gate: Gate;
	authorizer: Authorizer;
	/** Undefined on a server without credentials. */
	tokens: Tokens | undefined;
}

export interface ResourceRequest extends Route {
	query: URLSearchParams;
	user: User;
}

/** A request in progress, with the arguments that every verb needs. */
export interface Exchange {
	deps: HandlerDeps;
	asked: ResourceRequest;
	request: IncomingMessage;
	response: ServerResponse;
	/** The resource under which the store keeps the objects. */
	resource: string;
}

/** @throws ApiError 400. */
export function writeOptions(query: URLSearchParams, subresource?: string): WriteOptions {
	const dryRun = query.get('dryRun');
	if (dryRun && dryRun !== 'All')
		throw badRequest(`Invalid value: "${dryRun}": dryRun: supported values: "All"`);
	return { dryRun: dryRun === 'All', ...(subresource === 'status' ? { subresource } : {}) };
}
