import type { Clock } from '../base/clock.ts';
import { chunks, readJson } from './body.ts';
import { MalformedAnswerError, statusError } from './errors.ts';
import type { Resource } from './resources.ts';
import { isRecord } from './resources.ts';
import type { Transport } from './transport.ts';

export interface Connection {
	readonly resource: Resource;
	readonly transport: Transport;
	readonly clock: Clock;
	/** Milliseconds without a byte after which a connection counts as dead. */
	readonly stallMs: number;
	readonly signal: AbortSignal;
}

export interface Page {
	readonly items: readonly unknown[];
	/** resourceVersion of the whole list, from the first page: a watch from it misses no event. */
	readonly resourceVersion: string;
}

/**
 * Lists a resource page by page.
 *
 * @param resourceVersion '0': any version in the server's cache; '': the newest; else: at least
 * this version
 * @param limit objects per page; 0: all at once
 * @throws ApiStatusError, MalformedAnswerError, StalledError
 */
export async function* listPages(
	connection: Connection,
	resourceVersion: string,
	limit: number,
): AsyncGenerator<Page> {
	const { resource } = connection;
	let version = '';
	let token = '';
	do {
		const query: Record<string, string> = { ...resource.selector };
		if (limit > 0) query['limit'] = String(limit);
		// the API refuses a resourceVersion with a continue token, which contains one
		if (token !== '') query['continue'] = token;
		else if (resourceVersion !== '') query['resourceVersion'] = resourceVersion;
		const answer = await getJson(connection, query);
		const meta = isRecord(answer['metadata']) ? answer['metadata'] : {};
		const items = answer['items'] ?? [];
		if (!Array.isArray(items) || typeof meta['resourceVersion'] !== 'string') {
			throw new MalformedAnswerError(`List of ${resource.name}: no items or no metadata.resourceVersion`);
		}
		version ||= meta['resourceVersion'];
		token = typeof meta['continue'] === 'string' ? meta['continue'] : '';
		yield { items, resourceVersion: version };
	} while (token !== '');
}

async function getJson(
	connection: Connection,
	query: Record<string, string>,
): Promise<Record<string, unknown>> {
	const { resource, transport, clock, stallMs, signal } = connection;
	const what = `List of ${resource.name}`;
	const answer = await withDeadline(connection, (s) => transport.get(resource.path, query, s), what);
	const body = chunks(answer, clock, stallMs);
	if (answer.status !== 200) {
		const status = await readJson(body, what).catch((error: unknown) => {
			if (signal.aborted || !(error instanceof MalformedAnswerError)) throw error;
			return undefined;
		});
		throw statusError(what, answer.status, status, answer.retryAfter);
	}
	const json = await readJson(body, what);
	if (!isRecord(json)) throw new MalformedAnswerError(`${what}: the answer is no object`);
	return json;
}

/** Limits the wait for an answer's header by the same time as for a byte of its body. */
export async function withDeadline<T>(
	connection: Connection,
	run: (signal: AbortSignal) => Promise<T>,
	what: string,
): Promise<T> {
	const late = new AbortController();
	const cancel = connection.clock.after(connection.stallMs, () => late.abort());
	try {
		return await run(AbortSignal.any([connection.signal, late.signal]));
	} catch (cause) {
		if (late.signal.aborted) throw new Error(`${what}: no answer in ${connection.stallMs} ms`, { cause });
		throw cause;
	} finally {
		cancel();
	}
}
