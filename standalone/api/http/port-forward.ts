/**
 * `kubectl port-forward`: each connection of the user has two streams with the same request id, one
 * for data and one for errors.
 */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { SpdySession, type SpdyStream } from './spdy.ts';

/** SPDY inside WebSocket messages (kubernetes KEP-4006). */
export const PORT_FORWARD_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';

/** @param connect opens a connection to a port of the pod. */
export function forwardPorts(socket: WebSocket, connect: (port: number) => Duplex): void {
	/** Error streams by request id, until the data stream arrives. */
	const failures = new Map<string, Duplex>();
	const onStream = ({ headers, data }: SpdyStream) => {
		const request = headers.get('requestid') ?? '';
		if (headers.get('streamtype') === 'error') {
			data.resume();
			failures.set(request, data);
			return;
		}
		const failure = failures.get(request);
		failures.delete(request);
		void forward(data, Number(headers.get('port')), connect).then((why) => failure?.end(why));
	};
	const session = new SpdySession((bytes, done) => socket.send(bytes, done), onStream);
	socket.on('message', (message) => session.receive(message));
	socket.on('error', () => {}); // 'close' follows
	socket.on('close', () => session.close());
}

/** @returns the error for the client; undefined if the connection closed normally. */
async function forward(
	data: Duplex,
	port: number,
	connect: (port: number) => Duplex,
): Promise<string | undefined> {
	try {
		const pod = connect(port);
		await Promise.all([pipeline(data, pod), pipeline(pod, data)]);
		return undefined;
	} catch (error) {
		data.end();
		return `error forwarding port ${port} to the pod: ${(error as Error).message}`;
	}
}
