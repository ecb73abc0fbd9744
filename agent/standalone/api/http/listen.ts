import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { KeyPair } from '../../auth/certificates.ts';
import type { UpgradeListener } from './upgrade.ts';

export interface ListenOptions {
	/** TCP port on 127.0.0.1; 0 takes a free one. */
	port: number;
}

export interface Listening {
	port: number;
	close(): Promise<void>;
}

/** What a server of the API answers with. */
export interface Listeners {
	readonly handler: RequestListener;
	readonly upgrade: UpgradeListener;
}

/** TLS material of every listener. */
export interface ServerTls extends KeyPair {
	/** The authority of client certificates, in PEM. */
	readonly authority: string;
}

/** Speaks TLS alone. Clients may show a certificate; who shows none may have a token. */
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
	// Watches stay open for as long as their client wants
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

/** Serves on the machine's loopback. @throws Error for a port that is taken. */
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
