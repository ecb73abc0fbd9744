import type http from 'node:http';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { boundedServer } from './connections.ts';

export interface Answer {
	readonly status: number;
	/** Sent unchanged if it is a string, else as JSON. */
	readonly body: unknown;
	/** Default: application/json for objects, text/plain for strings. */
	readonly type?: string;
}

export type Route = () => Answer | Promise<Answer>;

export interface RunningServer {
	readonly host: string;
	/** Addresses that it answers at; undefined: all of both families. */
	readonly hosts: readonly (string | undefined)[];
	/** The bound port, also when port 0 was requested. */
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
 * Whether the Host of a request names this server. A page of another site can resolve its own name
 * to this machine's loopback address (DNS rebinding), and its browser then reads the answers. The
 * Host reveals that: names of sites have dots. A site can use neither an address nor a name of one
 * label, like the node's.
 */
function isNamed(host: string | undefined): boolean {
	// HTTP/1.0 has none; browsers always send it
	if (host === undefined) return true;
	const name = host.replace(/:\d+$/, '').toLowerCase();
	return /^[a-z0-9-]+$/.test(name) || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
}

/**
 * Addresses to bind. Loopback and unspecified addresses mean both families, so that clients reach
 * either.
 * @returns undefined for every address, of both families if the kernel has both
 */
function hostsOf(host: string): (string | undefined)[] {
	if (host === '0.0.0.0' || host === '::') return [undefined];
	if (host === '127.0.0.1' || host === 'localhost') return ['127.0.0.1', '::1'];
	return host === '::1' ? ['::1', '127.0.0.1'] : [host];
}

/** Codes when the machine lacks an address family. */
const NO_FAMILY: ReadonlySet<string | undefined> = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/**
 * Binds a second server at the port of the first. @returns undefined when it cannot, after
 * onError()
 */
async function also(
	server: http.Server,
	place: Place,
	onError: (error: unknown) => void,
): Promise<http.Server | undefined> {
	try {
		await bind(server, place);
		return server;
	} catch (error) {
		if (!NO_FAMILY.has((error as NodeJS.ErrnoException).code)) onError(error);
		return undefined;
	}
}

interface Place {
	readonly host: string | undefined;
	readonly port: number;
}

function bind(server: http.Server, place: Place): Promise<void> {
	return new Promise((resolve, reject) => {
		server.once('error', reject);
		server.listen(place, () => {
			server.off('error', reject);
			resolve();
		});
	});
}

/**
 * Serves GET and HEAD of exact paths. On a loopback address, answers 403 for a Host with dots:
 * unlike a node address, loopback must not be readable from other machines. The unspecified address
 * and loopback mean both families.
 *
 * @param onError called when a route throws (the client gets 500 without details), and when another
 * process uses the port at loopback of the other family
 * @throws Error with the address and `flag` when it cannot be bound
 */
export async function serve(
	address: ServerAddress,
	routes: Readonly<Record<string, Route>>,
	flag: string,
	onError: (error: unknown) => void,
): Promise<RunningServer> {
	const table = new Map(Object.entries(routes));
	const local = isLoopback(address.host);
	const listener = (request: http.IncomingMessage, response: http.ServerResponse): void => {
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
	};
	const first = boundedServer(listener);
	const [host, other] = hostsOf(address.host);
	await bind(first, { host, port: address.port }).catch((cause: NodeJS.ErrnoException) => {
		const busy = cause.code === 'EADDRINUSE' ? '; is another proxy running, or set another address' : '';
		throw new Error(`Cannot listen on ${address.host}:${address.port} (${flag})${busy}`, { cause });
	});
	const { port } = first.address() as AddressInfo;
	const second = other && (await also(boundedServer(listener), { host: other, port }, onError));
	const servers = second ? [first, second] : [first];
	return {
		host: address.host,
		hosts: second ? [host, other] : [host],
		port,
		close: async () => void (await Promise.all(servers.map(end))),
	};
}

function end(server: http.Server): Promise<void> {
	return new Promise((resolve) => {
		server.close(() => resolve());
		server.closeAllConnections();
	});
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
		// pages of other sites must not embed it either, as a script or an image
		'cross-origin-resource-policy': 'same-origin',
		'cache-control': 'no-store',
		...(result.status === 405 && { allow: 'GET, HEAD' }),
	});
	response.end(request.method === 'HEAD' ? undefined : text);
}
