import { chunks, lines, parseJson, readJson } from './body.ts';
import { MalformedAnswerError, statusError } from './errors.ts';
import { type Connection, withDeadline } from './list.ts';
import { isRecord } from './resources.ts';

export interface WatchEvent {
	readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
	readonly object: Record<string, unknown>;
}

const TYPES = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

/**
 * Watches from a resourceVersion until the server ends the watch.
 *
 * @param timeoutSeconds after which the server should end it
 * @param opened called when the server has accepted the watch
 * @throws ApiStatusError (also for an ERROR event), MalformedAnswerError, StalledError
 */
export async function* watchEvents(
	connection: Connection,
	resourceVersion: string,
	timeoutSeconds: number,
	opened: () => void,
): AsyncGenerator<WatchEvent> {
	const { resource, transport, clock, stallMs } = connection;
	const what = `Watch of ${resource.name}`;
	const query = {
		...resource.selector,
		watch: 'true',
		allowWatchBookmarks: 'true',
		resourceVersion,
		timeoutSeconds: String(timeoutSeconds),
	};
	const answer = await withDeadline(connection, (s) => transport.get(resource.path, query, s), what);
	const body = chunks(answer, clock, stallMs);
	if (answer.status !== 200) {
		const status = await readJson(body, what).catch(() => undefined);
		throw statusError(what, answer.status, status, answer.retryAfter);
	}
	opened();
	for await (const line of lines(body)) yield parseEvent(line, what);
}

function parseEvent(line: string, what: string): WatchEvent {
	const event = parseJson(line, what);
	if (!isRecord(event)) throw new MalformedAnswerError(`${what}: an event is no object`);
	const { type, object } = event;
	if (type === 'ERROR') {
		const code = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500;
		throw statusError(what, code, object);
	}
	if (typeof type !== 'string' || !TYPES.has(type) || !isRecord(object)) {
		throw new MalformedAnswerError(`${what}: an event has type "${String(type)}" or no object`);
	}
	return { type: type as WatchEvent['type'], object };
}
