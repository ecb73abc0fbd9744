import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Clock } from '../../agent/base/clock.ts';
import type { RawObject } from '../../agent/kube/resources.ts';

export type Step = (response: http.ServerResponse, request: http.IncomingMessage) => void;

/**
 * An API server with a script for each path, one step a request. After the script it accepts a
 * watch and sends nothing. It records requests as "path?query" with sorted parameters.
 */
export class FakeApiServer {
	readonly requests: string[] = [];
	readonly headers: http.IncomingHttpHeaders[] = [];
	readonly #scripts = new Map<string, Step[]>();
	readonly #lists = new Map<string, Step>();
	readonly #open = new Map<string, http.ServerResponse>();
	readonly #sockets = new Set<Socket>();
	readonly #server: http.Server;
	#port = 0;

	constructor() {
		this.#server = http.createServer((request, response) => this.#answer(request, response));
		this.#server.on('connection', (socket) => {
			this.#sockets.add(socket);
			socket.on('close', () => this.#sockets.delete(socket));
		});
	}

	script(path: string, ...steps: Step[]): this {
		this.#scripts.set(path, [...(this.#scripts.get(path) ?? []), ...steps]);
		return this;
	}

	/** Sets the response to requests other than watches after the script. */
	always(path: string, step: Step): this {
		this.#lists.set(path, step);
		return this;
	}

	/** Sends events on the latest open watch of a path. */
	push(path: string, ...events: object[]): void {
		const response = this.#open.get(path);
		if (!response) throw new Error(`No open watch of ${path}`);
		for (const event of events) response.write(`${JSON.stringify(event)}\n`);
	}

	requestsOf(path: string): string[] {
		return this.requests.filter((request) => request.startsWith(`${path}?`) || request === path);
	}

	/** @param fd a listening socket, possibly of another network namespace */
	async listen(fd?: number): Promise<URL> {
		const at = fd === undefined ? { port: this.#port, host: '127.0.0.1' } : { fd };
		await new Promise<void>((resolve) => this.#server.listen(at, resolve));
		if (fd !== undefined) return new URL('http://unknown');
		this.#port = (this.#server.address() as AddressInfo).port;
		return new URL(`http://127.0.0.1:${this.#port}`);
	}

	/** Closes all connections and the port. listen() reuses the port. */
	async close(): Promise<void> {
		const closed = new Promise((resolve) => this.#server.close(resolve));
		for (const socket of this.#sockets) socket.resetAndDestroy();
		await closed;
	}

	#answer(request: http.IncomingMessage, response: http.ServerResponse): void {
		const url = new URL(request.url ?? '/', 'http://fake');
		url.searchParams.sort();
		const query = [...url.searchParams].map(([k, v]) => `${k}=${v}`).join('&');
		this.requests.push(query ? `${url.pathname}?${query}` : url.pathname);
		this.headers.push(request.headers);
		const watching = url.searchParams.get('watch') === 'true';
		if (watching) this.#open.set(url.pathname, response);
		const step =
			this.#scripts.get(url.pathname)?.shift() ?? (watching ? undefined : this.#lists.get(url.pathname));
		if (step) step(response, request);
		else response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
	}
}

export function list(version: string, items: object[], token?: string): Step {
	const metadata = { resourceVersion: version, ...(token && { continue: token }) };
	return (response) => response.end(JSON.stringify({ kind: 'List', metadata, items }));
}

/** A watch that sends events, then ends as `end` specifies. */
export function watch(events: object[], end: 'close' | 'reset' | 'stay' = 'stay'): Step {
	return (response) => {
		response.writeHead(200).flushHeaders();
		for (const event of events) response.write(`${JSON.stringify(event)}\n`);
		if (end === 'close') response.end();
		// wait until the events are sent, because a reset discards the socket buffer
		if (end === 'reset') setTimeout(() => response.socket?.resetAndDestroy(), 30);
	};
}

export function raw(text: string, status = 200): Step {
	return (response) => response.writeHead(status).end(text);
}

export function status(
	code: number,
	reason: string,
	message = reason,
	headers: http.OutgoingHttpHeaders = {},
): Step {
	const body = { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
	return (response) => response.writeHead(code, headers).end(JSON.stringify(body));
}

/** A minimal object like a Service, with a name and a version. */
export function object(name: string, version: number, more: object = {}): RawObject {
	return {
		metadata: { namespace: 'default', name, uid: `uid-${name}`, resourceVersion: String(version) },
		...more,
	};
}

export const event = (type: string, value: object): object => ({ type, object: value });

export const bookmark = (version: number): object =>
	event('BOOKMARK', { kind: 'Service', metadata: { resourceVersion: String(version) } });

/**
 * A clock that a test advances. Waits of at most `skip` ms end at once and advance `now`. Backoff
 * therefore takes no time, and a stall occurs only when the test advances the clock.
 */
export class FakeClock implements Clock {
	readonly skipped: number[] = [];
	readonly #timers = new Set<{ at: number; run: () => void }>();
	readonly #skip: number;
	#now = 0;

	constructor(skip = 65_000) {
		this.#skip = skip;
	}

	now(): number {
		return this.#now;
	}

	after(ms: number, run: () => void): () => void {
		if (ms <= this.#skip) {
			const immediate = setImmediate(() => {
				this.skipped.push(ms);
				this.#now += ms;
				run();
			});
			return () => clearImmediate(immediate);
		}
		const timer = { at: this.#now + ms, run };
		this.#timers.add(timer);
		return () => this.#timers.delete(timer);
	}

	advance(ms: number): void {
		this.#now += ms;
		for (const timer of [...this.#timers]) {
			if (timer.at > this.#now) continue;
			this.#timers.delete(timer);
			timer.run();
		}
	}
}
