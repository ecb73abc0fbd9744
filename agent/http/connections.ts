import http from 'node:http';
import type { Socket } from 'node:net';

/** Scrapers, load balancers and the kubelet hold a few each; the descriptors of the agent must not run out. */
export const MOST_CONNECTIONS = 256;

const LIMITS = {
	// slow clients must not hold sockets: answers are small and made at once
	headersTimeout: 5_000,
	requestTimeout: 10_000,
	// by default Node looks at these times only twice a minute
	connectionsCheckingInterval: 1_000,
} as const satisfies http.ServerOptions;

/**
 * A server with times (ms) and connections bounded. Beyond `most` connections it closes the one that has asked nothing
 * for longest. Would it turn new ones away, whoever holds that many could keep the kubelet's probes out, and the kubelet
 * restarts an agent that does not answer.
 */
export function boundedServer(listener: http.RequestListener, most = MOST_CONNECTIONS): http.Server {
	const server = http.createServer(LIMITS, listener);
	/** Who asked last is last. */
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
