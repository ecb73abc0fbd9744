/**
 * The responses of a pod: the protocol of agnhost's `netexec` (kubernetes
 * test/images/agnhost/netexec), for public test clients, and of its `serve-hostname`. Pure: maps a
 * request to a response.
 */

/**
 * `netexec` is used for agnhost netexec and for all other images. `serve-hostname` always returns
 * the host name.
 */
export type Behaviour = 'netexec' | 'serve-hostname';

export interface Peer {
	/** The client's address as seen by the pod. IPv4 addresses are in plain form. */
	readonly address: string;
	readonly port: number;
}

export interface ServedPod {
	/** The response to /hostname. */
	readonly hostname: string;
	readonly behaviour: Behaviour;
	/** Whether the pod is terminating. /readyz then fails. */
	readonly terminating: boolean;
}

export interface HttpRequest {
	readonly method: string;
	/** Path with query, as in the request line. */
	readonly target: string;
	readonly headers: Readonly<Record<string, string | string[] | undefined>>;
	readonly peer: Peer;
	/** The pod's port that received the request. */
	readonly port: number;
	readonly now: Date;
}

export interface HttpAnswer {
	readonly status: number;
	readonly body: string;
	readonly headers?: Readonly<Record<string, string>>;
	/** Milliseconds to delay the response (not in netexec; simulates slow backends). */
	readonly delay?: number;
}

const MAX_DELAY_MS = 60_000;

export function answerHttp(pod: ServedPod, request: HttpRequest): HttpAnswer {
	if (pod.behaviour === 'serve-hostname') return ok(pod.hostname);
	const url = new URL(request.target, 'http://pod.invalid');
	const query = url.searchParams;
	switch (url.pathname) {
		case '/hostname':
		case '/hostName':
			return ok(pod.hostname);
		case '/clientip':
			return ok(formatPeer(request.peer));
		case '/serverport':
			return ok(String(request.port));
		case '/echo':
			return echo(query);
		case '/healthz':
			return { status: 200, body: '' };
		case '/readyz':
			return pod.terminating ? { status: 503, body: 'shutting down' } : ok('ok');
		case '/header':
			return header(query.get('key'), request.headers);
		case '/redirect':
			return redirect(query);
		case '/shell':
		case '/upload':
		case '/dial':
		case '/exit':
		case '/shutdown':
			return { status: 501, body: `${url.pathname} is not part of the built-in server\n` };
		default:
			// Like Go's mux, route every other path to the root handler
			return ok(`NOW: ${request.now.toISOString()}`);
	}
}

/** @returns undefined for an unknown or empty command, to which netexec does not respond. */
export function answerUdp(pod: ServedPod, text: string, peer: Peer): string | undefined {
	if (pod.behaviour === 'serve-hostname') return pod.hostname;
	const command = text.trim();
	const lower = command.toLowerCase();
	if (lower === 'hostname') return pod.hostname;
	if (lower === 'clientip') return formatPeer(peer);
	if (lower.startsWith('echo ')) return lower.slice('echo '.length);
	return undefined;
}

/** Formats an address with a port like Go: IPv6 in brackets. */
export function formatPeer({ address, port }: Peer): string {
	return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Removes the prefix of IPv4 clients: a dual-stack socket reports ::ffff:a.b.c.d. */
export function plainAddress(address: string): string {
	return address.startsWith('::ffff:') && address.includes('.') ? address.slice('::ffff:'.length) : address;
}

const METHODS = ['GET ', 'HEAD ', 'POST ', 'PUT ', 'PATCH ', 'DELETE ', 'OPTIONS ', 'CONNECT ', 'TRACE '];

/**
 * Whether a connection starts with an HTTP/1 request; undefined if there are too few bytes to
 * decide. Connections with other protocols (gRPC, redis, TLS) are accepted and kept open.
 */
export function looksLikeHttp(first: Uint8Array): boolean | undefined {
	const start = new TextDecoder('latin1').decode(first.subarray(0, 8));
	if (METHODS.some((method) => start.startsWith(method))) return true;
	return METHODS.some((method) => method.startsWith(start)) ? undefined : false;
}

function ok(body: string): HttpAnswer {
	return { status: 200, body };
}

function echo(query: URLSearchParams): HttpAnswer {
	const body = query.get('msg') ?? '';
	const wanted = query.get('code');
	const delay = Math.min(Number(query.get('sleep') ?? 0) || 0, MAX_DELAY_MS);
	if (wanted === null || wanted === '') return { status: 200, body, delay };
	const status = Number(wanted);
	if (!/^-?\d+$/.test(wanted))
		return ok(`argument 'code' must be an integer or empty, got ${JSON.stringify(wanted)}\n`);
	return status >= 200 && status <= 999
		? { status, body, delay }
		: { status: 500, body: `status ${status} cannot be sent\n` };
}

function header(key: string | null, headers: HttpRequest['headers']): HttpAnswer {
	if (key === null || key === '') {
		const lists = Object.entries(headers).map(([name, value]) => [name, [value].flat()]);
		return ok(JSON.stringify(Object.fromEntries(lists)));
	}
	return ok([headers[key.toLowerCase()]].flat()[0] ?? '');
}

function redirect(query: URLSearchParams): HttpAnswer {
	const code = Number(query.get('code') ?? 302);
	const status = code >= 300 && code <= 399 ? code : 302;
	// Encode line breaks, which would end the header
	return { status, body: '', headers: { location: encodeURI(query.get('location') ?? '') } };
}
