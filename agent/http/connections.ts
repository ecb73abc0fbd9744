import http from 'node:http';
import type { Socket } from 'node:net';

/**
 * Scrapers, load balancers and kubelet hold a few connections each. The limit protects the agent's
 * descriptors.
 */
export const MOST_CONNECTIONS = 256;

const LIMITS = {
	// slow clients must not hold sockets: answers are small and immediate
	headersTimeout: 5_000,
	requestTimeout: 10_000,
	// by default Node checks these timeouts only twice a minute
	connectionsCheckingInterval: 1_000,
} as const satisfies http.ServerOptions;

/**
 * A server with bounded timeouts (ms) and connections. Beyond `most` connections, it closes the one
 * that has been idle longest. If it refused new ones instead, a client could lock out kubelet's
 * probes, and kubelet restarts an agent that does not answer.
 */
export function boundedServer(listener: http.RequestListener, most = MOST_CONNECTIONS): http.Server {
	const server = http.createServer(LIMITS, listener);
	/** The socket with the latest request is last. */
	const open = new Set<Socket>();
	server.on('connection', (socket) => {
		open.add(socket);
		socket.once('close', () => open.delete(socket));
		const [longest] = open;
		if (open.size > most) longest?.destroy();
	});
	server.on('request', ({ socket }) => {
		if (open.delete(socket)) open.add(socket);
	});
	return server;
}
