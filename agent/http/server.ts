import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Answer {
	readonly status: number;
	/** Strings go out as they are; everything else as JSON. */
	readonly body: unknown;
	/** Default: application/json for objects, text/plain for strings. */
	readonly type?: string;
}

export type Route = () => Answer | Promise<Answer>;

export interface RunningServer {
	readonly host: string;
	/** The port that was bound, when 0 was asked for. */
	readonly port: number;
	close(): Promise<void>;
}

export interface ServerAddress {
	readonly host: string;
	readonly port: number;
}

/**
 * Serves GET and HEAD of exact paths.
 *
 * @param onError told when a route throws; the client gets 500 without details
 * @throws Error that names the address and `flag`, when it cannot be bound
 */
export async function serve(
	address: ServerAddress,
	routes: Readonly<Record<string, Route>>,
	flag: string,
	onError: (error: unknown) => void,
): Promise<RunningServer> {
	const table = new Map(Object.entries(routes));
	const server = http.createServer((request, response) => {
		answer(table, request).then(
			(result) => send(request, response, result),
			(error: unknown) => {
				onError(error);
				send(request, response, { status: 500, body: 'Internal error\n' });
			},
		);
	});
	// slow clients must not hold sockets: answers are small and made at once
	server.headersTimeout = 5_000;
	server.requestTimeout = 10_000;
	await new Promise<void>((resolve, reject) => {
		server.once('error', (cause: NodeJS.ErrnoException) => {
			const busy = cause.code === 'EADDRINUSE' ? '; is another proxy running, or set another address' : '';
			reject(new Error(`Cannot listen on ${address.host}:${address.port} (${flag})${busy}`, { cause }));
		});
		server.listen(address.port, address.host, resolve);
	});
	const { port } = server.address() as AddressInfo;
	return {
		host: address.host,
		port,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

async function answer(routes: ReadonlyMap<string, Route>, request: http.IncomingMessage): Promise<Answer> {
	const path = (request.url ?? '/').split('?', 1)[0]!;
	const route = routes.get(path);
	if (route === undefined) return { status: 404, body: 'Not found\n' };
	if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'GET only\n' };
	return await route();
}

function send(request: http.IncomingMessage, response: http.ServerResponse, result: Answer): void {
	const text = typeof result.body === 'string' ? result.body : JSON.stringify(result.body);
	const type =
		result.type ?? (typeof result.body === 'string' ? 'text/plain; charset=utf-8' : 'application/json');
	response.writeHead(result.status, {
		'content-type': type,
		'content-length': Buffer.byteLength(text),
		'x-content-type-options': 'nosniff',
		'cache-control': 'no-store',
	});
	response.end(request.method === 'HEAD' ? undefined : text);
}
