/** `kubectl port-forward`: for each connection of the user two streams of one request, for data and for what fails. */
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { SpdySession, type SpdyStream } from './spdy.ts';

/** SPDY in the messages of a WebSocket (kubernetes KEP-4006). */
export const PORT_FORWARD_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';

/** @param connect to a port of the pod. */
export function forwardPorts(socket: WebSocket, connect: (port: number) => Duplex): void {
	/** By request, until its data stream comes. */
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

/** @returns what the client is to be told; undefined when the connection ended as connections do. */
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
