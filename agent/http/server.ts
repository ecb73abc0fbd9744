import type http from 'node:http';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { boundedServer } from './connections.ts';

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

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
	const version = isIP(host);
	return version === 0 ? host === 'localhost' : LOOPBACK.check(host, version === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Whether the server is meant by a request's Host. A page of another site can give the name of its own server this
 * machine's loopback address (DNS rebinding), and then its browser reads the answers; the Host betrays it. Sites have
 * names with dots; an address, and a name of one label like the node's, is not theirs to give.
 */
function isNamed(host: string | undefined): boolean {
	// HTTP/1.0 has none; browsers always send it
	if (host === undefined) return true;
	const name = host.replace(/:\d+$/, '').toLowerCase();
	return /^[a-z0-9-]+$/.test(name) || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

/**
 * Serves GET and HEAD of exact paths. On a loopback address it answers 403 for a Host that is a name with dots:
 * there, other than on an address of the node, not everybody can ask.
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
	const local = isLoopback(address.host);
	const server = boundedServer((request, response) => {
		if (local && !isNamed(request.headers.host)) {
			const body = `The name in Host is not served: ask by the address, http://${address.host}:${address.port}\n`;
			send(request, response, { status: 403, body });
			return;
		}
		answer(table, request).then(
			(result) => send(request, response, result),
			(error: unknown) => {
				onError(error);
				send(request, response, { status: 500, body: 'Internal error\n' });
			},
		);
	});
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
		// no page of another site may take it in either, as a script or an image
		'cross-origin-resource-policy': 'same-origin',
		'cache-control': 'no-store',
		...(result.status === 405 && { allow: 'GET, HEAD' }),
	});
	response.end(request.method === 'HEAD' ? undefined : text);
}
