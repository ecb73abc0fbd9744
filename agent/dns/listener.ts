import type { ListenAddress, Listener, Sockets } from './address.ts';
import type { Resolver } from './resolver.ts';
import { listenTcp } from './tcp.ts';
import { listenUdp } from './udp.ts';

/**
 * Attempts to find a port for both protocols: TCP may already use the port that the kernel chose
 * for UDP.
 */
const CHOICES = 10;

/**
 * Answers at one address by UDP and by TCP.
 * @param sockets existing sockets for the address
 * @throws the system's error when either cannot be bound; then neither is
 */
export async function listen(
	address: ListenAddress,
	resolver: Resolver,
	sockets?: Sockets,
	choices = CHOICES,
): Promise<Listener> {
	const udp = await listenUdp(address, resolver, sockets?.udp);
	try {
		const tcp = await listenTcp({ host: address.host, port: udp.port }, resolver, sockets?.tcp);
		return {
			port: udp.port,
			close: async () => {
				await Promise.all([udp.close(), tcp.close()]);
			},
		};
	} catch (error) {
		await udp.close();
		const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
		if (taken && address.port === 0 && choices > 1) return listen(address, resolver, sockets, choices - 1);
		throw error;
	}
}
