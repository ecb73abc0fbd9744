import net from 'node:net';
import type { ListenAddress, Listener } from './address.ts';
import type { Resolver } from './resolver.ts';

/** Idle timeout of a connection (RFC 7766, 6.2.3 suggests a few seconds). */
const IDLE_MS = 10_000;
/**
 * Maximum number of connections. Beyond it, the server closes the one that has been silent longest.
 */
const MAX_CONNECTIONS = 1_000;
/** Queries per connection that wait for upstream answers. At the limit, reading pauses. */
const MAX_WAITING = 100;
/** Unsent octets per connection. At the limit, reading pauses. */
const MAX_UNSENT = 1 << 20;

/**
 * @param fd a socket that already listens at the address
 * @throws the system's error when the address cannot be bound
 */
export async function listenTcp(
	{ host, port }: ListenAddress,
	resolver: Resolver,
	fd?: number,
): Promise<Listener> {
	/** The most recently active connection is last. */
	const connections = new Set<net.Socket>();
	const server = net.createServer({ noDelay: true }, (socket) => {
		connections.add(socket);
		socket.once('close', () => connections.delete(socket));
		socket.on('data', () => {
			if (connections.delete(socket)) connections.add(socket);
		});
		// close an old one: if new ones were refused, one client could lock out all others
		const [longest] = connections;
		if (connections.size > MAX_CONNECTIONS) longest?.destroy();
		serveConnection(socket, resolver);
	});
	await new Promise<void>((resolve, reject) => {
		server.once('error', reject);
		server.listen(fd === undefined ? { host, port, ipv6Only: true } : { fd }, () => {
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

/** Clients may pipeline queries; each answer is sent as soon as it is ready (RFC 7766, 6.2.1.1). */
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
			// the sender of an invalid query is out of sync
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

/** Prefixes a message with its length, as DNS over TCP requires. */
export function framed(message: Uint8Array): Buffer {
	const frame = Buffer.allocUnsafe(message.length + 2);
	frame.writeUInt16BE(message.length);
	frame.set(message, 2);
	return frame;
}

/** Reassembles messages from chunks. */
export class Frames {
	#rest: Buffer = Buffer.alloc(0);

	/** @returns the messages that are now complete */
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
