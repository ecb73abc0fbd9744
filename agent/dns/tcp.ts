import net from 'node:net';
import type { ListenAddress, Listener } from './listener.ts';
import type { Resolver } from './resolver.ts';

/** A connection on which nothing comes for so long is closed (RFC 7766, 6.2.3: a few seconds are right). */
const IDLE_MS = 10_000;
/** Connections at a time; beyond it the one ends that sent nothing for longest. */
const MAX_CONNECTIONS = 1_000;
/** Queries of one connection that wait for others' answers; its further ones are not read meanwhile. */
const MAX_WAITING = 100;
/** Octets that a client has not taken; it is not read from meanwhile. */
const MAX_UNSENT = 1 << 20;

/** @throws the system's error when the address cannot be bound */
export async function listenTcp({ host, port }: ListenAddress, resolver: Resolver): Promise<Listener> {
	/** Who sent something last is last. */
	const connections = new Set<net.Socket>();
	const server = net.createServer({ noDelay: true }, (socket) => {
		connections.add(socket);
		socket.once('close', () => connections.delete(socket));
		socket.on('data', () => {
			if (connections.delete(socket)) connections.add(socket);
		});
		// would new ones be turned away, one client could keep all others out
		const [longest] = connections;
		if (connections.size > MAX_CONNECTIONS) longest?.destroy();
		serveConnection(socket, resolver);
	});
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen({ host, port, ipv6Only: true }, () => {
			server.off('error', reject);
			resolve();
		});
	});
	server.on('error', () => {});
	return {
		port: (server.address() as net.AddressInfo).port,
		close: () =>
			new Promise((resolve) => {
				server.close(() => resolve());
				for (const socket of connections) socket.destroy();
			}),
	};
}

/** Queries may follow each other without waiting; each is answered when its answer is there (RFC 7766, 6.2.1.1). */
function serveConnection(socket: net.Socket, resolver: Resolver): void {
	const frames = new Frames();
	let waiting = 0;
	const pace = (): void => {
		if (waiting >= MAX_WAITING || socket.writableLength > MAX_UNSENT) socket.pause();
		else socket.resume();
	};
	const send = (answer: Buffer): void => {
		if (!socket.destroyed) socket.write(framed(answer));
	};
	socket.setTimeout(IDLE_MS, () => socket.destroy());
	socket.on('error', () => socket.destroy());
	socket.on('drain', pace);
	socket.on('data', (chunk) => {
		for (const message of frames.push(chunk)) {
			const answer = resolver.handle(message, 'tcp');
			// what is no query will not become one: its sender has lost the thread
			if (!answer) socket.destroy();
			else if (answer instanceof Promise) {
				waiting++;
				void answer.then(send).finally(() => {
					waiting--;
					pace();
				});
			} else send(answer);
		}
		pace();
	});
}

/** A message with its length before it, as TCP carries it. */
export function framed(message: Uint8Array): Buffer {
	const frame = Buffer.allocUnsafe(message.length + 2);
	frame.writeUInt16BE(message.length);
	frame.set(message, 2);
	return frame;
}

/** Puts messages together that come in pieces. */
export class Frames {
	#rest: Buffer = Buffer.alloc(0);

	/** @returns the messages that are whole now */
	push(chunk: Buffer): Buffer[] {
		let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
		const messages: Buffer[] = [];
		while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
			const end = 2 + bytes.readUInt16BE(0);
			messages.push(bytes.subarray(2, end));
			bytes = bytes.subarray(end);
		}
		this.#rest = bytes;
		return messages;
	}
}
