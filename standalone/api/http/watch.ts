import type { IncomingMessage, ServerResponse } from 'node:http';
import type { KubeObject } from '../../port.ts';
import { badRequest } from '../errors.ts';
import { apiVersionOf, type Kind } from '../kinds.ts';
import type { Objects } from '../objects.ts';
import type { Change } from '../store.ts';
import { numberOf, selectorOf } from './listing.ts';
import { flagOf } from './query.ts';
import { type Representation, represent } from './represent.ts';
import { asApiError, sendError } from './respond.ts';

const DEFAULT_SECONDS = 3600;
/** Bytes of unsent output at which the server closes a slow client's connection. */
const BACKLOG = 16 * 1024 * 1024;
const INITIAL_END = 'k8s.io/initial-events-end';

export interface WatchDeps {
	objects: Objects;
	bookmarkInterval: number;
	signal: AbortSignal;
	clock: () => number;
}

export interface WatchRequest {
	kind: Kind;
	namespace: string | undefined;
	/** Selects one object by its path. */
	name: string | undefined;
	query: URLSearchParams;
	representation: Representation;
}

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';

/**
 * The event of a change for a watcher, by whether its selector matches before and after the change.
 */
export function eventFor(change: Change, sees: (object: KubeObject) => boolean): EventType | undefined {
	const before = change.previous !== undefined && sees(change.previous);
	const after = change.type !== 'DELETED' && sees(change.object);
	if (before && after) return 'MODIFIED';
	if (after) return 'ADDED';
	return before ? 'DELETED' : undefined;
}

/**
 * The object of an event. A DELETED event shows the last visible state, at the change's revision.
 */
function objectFor(change: Change, type: EventType): KubeObject {
	if (type !== 'DELETED' || change.type === 'DELETED' || !change.previous) return change.object;
	const { previous } = change;
	return { ...previous, metadata: { ...previous.metadata, resourceVersion: String(change.revision) } };
}

interface Plan {
	initial: KubeObject[];
	missed: readonly Change[];
	endMark: boolean;
}

/** The events at the start of the stream. @throws ApiError 400, 410. */
function planOf(objects: Objects, { kind, namespace, query }: WatchRequest): Plan {
	const resource = kind.storedAs ?? kind.resource;
	const revision = numberOf(query, 'resourceVersion') ?? 0;
	const listFirst = flagOf(query, 'sendInitialEvents');
	if (listFirst && query.get('resourceVersionMatch') !== 'NotOlderThan')
		throw badRequest('sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
	if (listFirst || revision === 0)
		return { initial: objects.store.list(resource, namespace), missed: [], endMark: listFirst };
	const missed = objects.store.since(revision).filter((change) => change.resource === resource);
	return { initial: [], missed, endMark: false };
}

/** Streams each change as one line of JSON, without delay. */
export function serveWatch(
	deps: WatchDeps,
	asked: WatchRequest,
	request: IncomingMessage,
	response: ServerResponse,
): void {
	const { objects, signal } = deps;
	const { kind, namespace, query, representation } = asked;
	const resource = kind.storedAs ?? kind.resource;
	const selector = selectorOf(kind, query);
	const sees = (object: KubeObject) =>
		(namespace === undefined || object.metadata.namespace === namespace) &&
		(asked.name === undefined || object.metadata.name === asked.name) &&
		(selector?.(object) ?? true);
	let plan: Plan;
	try {
		plan = planOf(objects, asked);
	} catch (error) {
		sendWatchError(response, error);
		return;
	}
	response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
	response.flushHeaders();
	const write = (type: EventType, object: object) => {
		response.write(`${JSON.stringify({ type, object })}\n`);
		if (response.writableLength > BACKLOG) response.destroy();
	};
	const send = (type: EventType, object: KubeObject) =>
		write(type, represent(kind, object, representation, deps.clock()));
	const bookmark = (annotations?: Record<string, string>) => {
		const metadata = {
			resourceVersion: String(objects.store.revision),
			...(annotations ? { annotations } : {}),
		};
		if (representation.form === 'table')
			write('BOOKMARK', {
				kind: 'Table',
				apiVersion: 'meta.k8s.io/v1',
				metadata,
				columnDefinitions: [],
				rows: [],
			});
		else send('BOOKMARK', { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata } as KubeObject);
	};
	const relay = (change: Change) => {
		const type = eventFor(change, sees);
		if (type) send(type, objectFor(change, type));
	};
	const stopListening = objects.store.subscribe((change) => {
		if (change.resource === resource) relay(change);
	});
	for (const object of plan.initial) if (sees(object)) send('ADDED', object);
	for (const change of plan.missed) relay(change);
	if (plan.endMark) bookmark({ [INITIAL_END]: 'true' });
	const ticker = flagOf(query, 'allowWatchBookmarks')
		? setInterval(bookmark, deps.bookmarkInterval)
		: undefined;
	const seconds = numberOf(query, 'timeoutSeconds') || DEFAULT_SECONDS;
	const timer = setTimeout(() => response.end(), seconds * 1000);
	const end = () => response.end();
	signal.addEventListener('abort', end, { once: true });
	response.once('close', () => {
		stopListening();
		clearInterval(ticker);
		clearTimeout(timer);
		signal.removeEventListener('abort', end);
	});
	request.resume();
}

/**
 * Reports a watch error. 410 becomes the stream's first event, as client-go's reflector expects;
 * others are plain responses.
 */
function sendWatchError(response: ServerResponse, error: unknown): void {
	const fault = asApiError(error);
	if (fault.code !== 410) {
		sendError(response, fault);
		return;
	}
	response.writeHead(200, { 'content-type': 'application/json' });
	response.end(`${JSON.stringify({ type: 'ERROR', object: fault.toStatus() })}\n`);
}
