/** An open port of a pod. */
import { createSocket, type RemoteInfo } from 'node:dgram';
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { PortSpec } from './messages.ts';
import {
	answerHttp,
	answerUdp,
	formatPeer,
	looksLikeHttp,
	type Peer,
	plainAddress,
	type ServedPod,
} from './protocol.ts';

/** A pod with a log for its requests. */
export interface ObservedPod extends ServedPod {
	log(line: string): void;
}

export interface Listener {
	/** Stops accepting and closes open connections. */
	close(): void;
}

/**
 * Idle timeout of a connection. It is long because public probes and load balancers keep idle
 * connections.
 */
const SILENT_CONNECTION_MS = 600_000;
const MAX_HELD_BYTES = 4096;

/** @param pod called for every request. @throws Error with the errno name, like EADDRINUSE. */
export function openPort(
	switcher: NetnsSwitcher,
	netns: string,
	{ protocol, port }: PortSpec,
	pod: () => ObservedPod,
): Promise<Listener> {
	return protocol === 'UDP' ? openUdp(switcher, netns, port, pod) : openTcp(switcher, netns, port, pod);
}

async function openTcp(
	switcher: NetnsSwitcher,
	netns: string,
	port: number,
	pod: () => ObservedPod,
): Promise<Listener> {
	const connections = new Set<Socket>();
	const http = httpServer(port, pod);
	const server = createServer({ noDelay: true }, (socket) => {
		connections.add(socket);
		socket.on('error', () => {}); // the client disconnected: 'close' follows
		socket.on('close', () => connections.delete(socket));
		socket.setTimeout(SILENT_CONNECTION_MS, () => socket.destroy());
		receiveFirst(socket, http, pod);
	});
	const fd = switcher.listenTcp(netns, port);
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen({ fd, backlog: 1024 }, resolve);
	});
	return {
		close() {
			server.close();
			for (const socket of connections) socket.destroy();
		},
	};
}

/**
 * Passes the connection to HTTP if its first bytes look like a request. Otherwise answers single
 * lines as for UDP.
 */
function receiveFirst(socket: Socket, http: HttpServer, pod: () => ObservedPod): void {
	let held: Buffer = Buffer.alloc(0);
	const onData = (chunk: Buffer) => {
		held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
		const decision = looksLikeHttp(held);
		if (decision === undefined) return;
		socket.off('data', onData);
		if (!decision) {
			answerLines(socket, held, pod);
			return;
		}
		socket.pause();
		http.emit('connection', socket);
		socket.unshift(held);
		socket.resume();
	};
	socket.on('data', onData);
}

function answerLines(socket: Socket, first: Buffer, pod: () => ObservedPod): void {
	let held = '';
	const onData = (chunk: Buffer) => {
		held = (held + chunk.toString('latin1')).slice(-MAX_HELD_BYTES);
		const lines = held.split('\n');
		held = lines.pop() ?? '';
		for (const line of lines) {
			const answer = answerLine(pod(), 'TCP', line, peerOf(socket));
			if (answer !== undefined && socket.writable) socket.write(`${answer}\n`);
		}
	};
	socket.on('data', onData);
	onData(first);
}

function answerLine(pod: ObservedPod, protocol: string, line: string, peer: Peer): string | undefined {
	pod.log(`${protocol} ${JSON.stringify(line)} ${formatPeer(peer)}`);
	return answerUdp(pod, line, peer);
}

function httpServer(port: number, pod: () => ObservedPod): HttpServer {
	const server = createHttpServer((request, response) => respond(request, response, port, pod()));
	server.keepAliveTimeout = SILENT_CONNECTION_MS;
	server.on('clientError', (_error, socket) => socket.destroy());
	return server;
}

function respond(request: IncomingMessage, response: ServerResponse, port: number, pod: ObservedPod): void {
	request.resume();
	const peer = peerOf(request.socket);
	const answer = answerHttp(pod, {
		method: request.method ?? 'GET',
		target: request.url ?? '/',
		headers: request.headers,
		peer,
		port,
		now: new Date(),
	});
	pod.log(`${request.method} ${request.url} ${answer.status} ${formatPeer(peer)}`);
	const body = Buffer.from(answer.body);
	const send = () => {
		response.writeHead(answer.status, {
			'content-type': 'text/plain; charset=utf-8',
			'content-length': body.length,
			...answer.headers,
		});
		response.end(request.method === 'HEAD' ? undefined : body);
	};
	if (answer.delay) setTimeout(send, answer.delay).unref();
	else send();
}

function peerOf(socket: Socket): Peer {
	return { address: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
}

async function openUdp(
	switcher: NetnsSwitcher,
	netns: string,
	port: number,
	pod: () => ObservedPod,
): Promise<Listener> {
	const fd = switcher.bindUdp(netns, port);
	// Addresses here are always numeric. Skip the resolver, whose threads are in another namespace
	const socket = createSocket({ type: 'udp6', lookup: (address, _options, done) => done(null, address, 6) });
	socket.on('message', (message: Buffer, from: RemoteInfo) => {
		const peer = { address: plainAddress(from.address), port: from.port };
		const answer = answerLine(pod(), 'UDP', message.toString(), peer);
		if (answer === undefined) return;
		socket.send(answer, from.port, from.address, () => {}); // a client that has gone is no error of the pod
	});
	await new Promise<void>((resolve, reject) => {
		socket.once('error', reject);
		socket.bind({ fd }, () => {
			socket.off('error', reject);
			socket.on('error', () => {});
			resolve();
		});
	});
	return { close: () => socket.close() };
}
