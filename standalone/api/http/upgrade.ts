/** Handles pod subresources that upgrade from HTTP to a WebSocket: exec, attach and portforward. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { badRequest, noSuchPath } from '../errors.ts';
import type { HandlerDeps } from './exchange.ts';
import { urlOf } from './handler.ts';
import { accessOf } from './pod-log.ts';
import { forwardPorts, PORT_FORWARD_PROTOCOL } from './port-forward.ts';
import { flagOf } from './query.ts';
import { bridge, PROTOCOLS } from './remote-command.ts';
import { asApiError } from './respond.ts';
import { type Route, routeOf } from './route.ts';
import { STREAMING } from './streaming.ts';

export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * Creates the listener for the `upgrade` event of node:http. It sends errors as a Status, before
 * the connection becomes a WebSocket.
 */
export function createUpgrade(deps: HandlerDeps): UpgradeListener {
	const server = new WebSocketServer({
		noServer: true,
		clientTracking: false,
		perMessageDeflate: false,
	});
	const chosen = new WeakMap<IncomingMessage, string>();
	server.on('headers', (lines, request) => lines.push(`Sec-WebSocket-Protocol: ${chosen.get(request)}`));
	const upgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
		const url = urlOf(request);
		await deps.gate.admit(request, url);
		const route = routeOf(url.pathname);
		if (!route) throw noSuchPath();
		const serve = prepare(deps, route, url.searchParams);
		const known = route.subresource === 'portforward' ? [PORT_FORWARD_PROTOCOL] : PROTOCOLS;
		chosen.set(request, chooseProtocol(request, known));
		// ws rejects protocol names with a slash, such as that of port-forward
		delete request.headers['sec-websocket-protocol'];
		server.handleUpgrade(request, socket, head, (client) => {
			deps.signal.addEventListener('abort', () => client.terminate(), { once: true });
			serve(client);
		});
	};
	return (request, socket, head) => {
		socket.on('error', () => socket.destroy());
		upgrade(request, socket, head).catch((error: unknown) => refuse(socket, error));
	};
}

/**
 * @throws ApiError 400 if the client offers none of our protocols. SPDY, to which kubectl falls
 * back after an error, is not supported.
 */
function chooseProtocol({ headers }: IncomingMessage, known: readonly string[]): string {
	const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
	const choice = known.find((name) => offered.includes(name));
	if (choice !== undefined && headers.upgrade?.toLowerCase() === 'websocket') return choice;
	throw badRequest(`only WebSocket with the protocols ${known.join(', ')} is spoken here`);
}

/** Validates the request. @returns the function that serves the connection. @throws ApiError. */
function prepare(
	deps: HandlerDeps,
	{ kind, namespace, name, subresource = '' }: Route,
	query: URLSearchParams,
): (client: WebSocket) => void {
	if (kind.resource !== 'pods' || name === undefined || !STREAMING.includes(subresource)) throw noSuchPath();
	const access = accessOf(deps);
	const pod = deps.objects.mustGet('pods', namespace, name);
	if (subresource === 'portforward')
		return (client) => forwardPorts(client, (port) => access.connect(pod, port));
	const flag = (option: string) => flagOf(query, option);
	const [stdin, stdout, stderr, tty] = [flag('stdin'), flag('stdout'), flag('stderr'), flag('tty')];
	if (!stdin && !stdout && !stderr) throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
	const asked = { container: query.get('container') || undefined, stdin, tty };
	const command = query.getAll('command');
	if (subresource === 'exec' && command.length === 0)
		throw badRequest('you must specify a command for the container');
	const start = subresource === 'exec' ? access.exec(pod, command, asked) : access.attach(pod, asked);
	return (client) => bridge(client, start(), { stdout, stderr, tty });
}

/** Sends an error as a raw HTTP/1.1 response, because node:http has released the connection. */
function refuse(socket: Duplex, error: unknown): void {
	const fault = asApiError(error);
	const body = JSON.stringify(fault.toStatus());
	const head = [
		`HTTP/1.1 ${fault.code} ${fault.reason}`,
		'content-type: application/json',
		`content-length: ${Buffer.byteLength(body)}`,
		'connection: close',
	];
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
