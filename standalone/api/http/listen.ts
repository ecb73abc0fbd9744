import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { KeyPair } from '../../auth/certificates.ts';
import type { UpgradeListener } from './upgrade.ts';

export interface ListenOptions {
	/** TCP port on 127.0.0.1; 0 selects a free one. */
	port: number;
}

export interface Listening {
	port: number;
	close(): Promise<void>;
}

/** Request handlers of an API server. */
export interface Listeners {
	readonly handler: RequestListener;
	readonly upgrade: UpgradeListener;
}

/** TLS key pair and client authority of every listener. */
export interface ServerTls extends KeyPair {
	/** The CA of client certificates, in PEM. */
	readonly authority: string;
}

/**
 * Creates a server for TLS only. Client certificates are optional, because clients may use a token
 * instead.
 */
export function createApiServer(
	{ handler, upgrade }: Listeners,
	{ cert, key, authority }: ServerTls,
): Server {
	const tls = {
		cert,
		key,
		ca: authority,
		requestCert: true,
		rejectUnauthorized: false,
		minVersion: 'TLSv1.2',
	} as const;
	// Watches have no time limit
	return createServer({ ...tls, requestTimeout: 0, keepAliveTimeout: 60_000 }, handler).on(
		'upgrade',
		upgrade,
	);
}

const stop = (server: Server): Promise<void> =>
	new Promise((resolve) => {
		server.close(() => resolve());
		server.closeAllConnections();
	});

/** Listens on the loopback address. @throws Error if the port is in use. */
export async function listen(
	listeners: Listeners,
	tls: ServerTls,
	{ port }: ListenOptions,
): Promise<Listening> {
	const server = createApiServer(listeners, tls);
	await new Promise<void>((resolve, reject) => {
		server.once('error', (cause) => reject(new Error(`Listening on port ${port} failed`, { cause })));
		server.listen({ host: '127.0.0.1', port }, resolve);
	});
	return { port: (server.address() as AddressInfo).port, close: () => stop(server) };
}
