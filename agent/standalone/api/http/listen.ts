import { chmodSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { UpgradeListener } from './upgrade.ts';

export interface ListenOptions {
	/** Path of a unix socket; a stale one is replaced, and only its owner may connect. */
	socketPath?: string;
	/** Loopback TCP port; 0 takes a free one. */
	port?: number;
}

export interface Listening {
	/** The TCP port, where one was asked for. */
	port: number | undefined;
	close(): Promise<void>;
}

/** What a server of the API answers with. */
export interface Listeners {
	readonly handler: RequestListener;
	readonly upgrade: UpgradeListener;
}

export function createApiServer({ handler, upgrade }: Listeners): Server {
	// Watches stay open for as long as their client wants
	return createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, handler).on('upgrade', upgrade);
}

function start(
	listeners: Listeners,
	where: { path: string } | { host: string; port: number },
): Promise<Server> {
	const server = createApiServer(listeners);
	return new Promise((resolve, reject) => {
		server.once('error', (cause) =>
			reject(
				new Error(`Listening on ${'path' in where ? where.path : `port ${where.port}`} failed`, { cause }),
			),
		);
		server.listen(where, () => resolve(server));
	});
}

const stop = (server: Server): Promise<void> =>
	new Promise((resolve) => {
		server.close(() => resolve());
		server.closeAllConnections();
	});

/** Plain HTTP without authentication, so on 127.0.0.1 and on an owner-only socket, nowhere else. */
export async function listen(listeners: Listeners, options: ListenOptions): Promise<Listening> {
	const servers: Server[] = [];
	let port: number | undefined;
	if (options.port !== undefined) {
		const server = await start(listeners, { host: '127.0.0.1', port: options.port });
		port = (server.address() as AddressInfo).port;
		servers.push(server);
	}
	if (options.socketPath !== undefined) {
		rmSync(options.socketPath, { force: true });
		servers.push(await start(listeners, { path: options.socketPath }));
		chmodSync(options.socketPath, 0o600);
	}
	return { port, close: async () => void (await Promise.all(servers.map(stop))) };
}
