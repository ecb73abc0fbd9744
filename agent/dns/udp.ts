import dgram from 'node:dgram';
import type { ListenAddress, Listener } from './listener.ts';
import type { Resolver } from './resolver.ts';

/** Octets that may wait in the kernel; it gives what net.core.rmem_max allows. */
const BUFFER = 4 << 20;

/** @throws the system's error when the address cannot be bound */
export async function listenUdp({ host, port }: ListenAddress, resolver: Resolver): Promise<Listener> {
	const v6 = host.includes(':');
	const socket = dgram.createSocket({
		type: v6 ? 'udp6' : 'udp4',
		ipv6Only: v6,
		// who asks is an address already: the usual look-up costs a turn of the event loop for each answer
		lookup: (address, _options, done) => done(null, address, v6 ? 6 : 4),
	});
	await new Promise<void>((resolve, reject) => {
		socket.once('error', reject);
		socket.bind(port, host, () => {
			socket.off('error', reject);
			resolve();
		});
	});
	try {
		socket.setRecvBufferSize(BUFFER);
	} catch {
		// the default is there
	}
	let open = true;
	const send = (answer: Buffer, client: dgram.RemoteInfo): void => {
		if (open) socket.send(answer, client.port, client.address);
	};
	// a client that cannot be reached is no concern of the others
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
