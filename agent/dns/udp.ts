import dgram from 'node:dgram';
import type { ListenAddress, Listener } from './address.ts';
import type { Resolver } from './resolver.ts';

/** Receive buffer in octets; the kernel limits it to net.core.rmem_max. */
const BUFFER = 4 << 20;

/**
 * @param fd a socket that is already bound to the address
 * @throws the system's error when the address cannot be bound
 */
export async function listenUdp(
	{ host, port }: ListenAddress,
	resolver: Resolver,
	fd?: number,
): Promise<Listener> {
	const v6 = host.includes(':');
	const socket = dgram.createSocket({
		type: v6 ? 'udp6' : 'udp4',
		ipv6Only: v6,
		// the client is an address already; the default lookup costs a turn of the event loop per
		// answer
		lookup: (address, _options, done) => done(null, address, v6 ? 6 : 4),
	});
	await new Promise<void>((resolve, reject) => {
		socket.once('error', reject);
		socket.bind(fd === undefined ? { port, address: host } : { fd }, () => {
			socket.off('error', reject);
			resolve();
		});
	});
	try {
		socket.setRecvBufferSize(BUFFER);
	} catch {
		// keep the default size
	}
	let open = true;
	const send = (answer: Buffer, client: dgram.RemoteInfo): void => {
		if (open) socket.send(answer, client.port, client.address);
	};
	// an unreachable client does not affect the others
	socket.on('error', ignore);
	socket.on('message', (message, client) => {
		const answer = resolver.handle(message, 'udp');
		if (answer instanceof Promise) answer.then((late) => send(late, client), ignore);
		else if (answer) send(answer, client);
	});
	return {
		port: socket.address().port,
		close: () =>
			new Promise((resolve) => {
				open = false;
				socket.close(resolve);
			}),
	};
}

function ignore(): void {}
