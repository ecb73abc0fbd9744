import type { Resolver } from './resolver.ts';
import { listenTcp } from './tcp.ts';
import { listenUdp } from './udp.ts';

export interface ListenAddress {
	/** An IP address. */
	readonly host: string;
	/** 0: any, the same for both protocols. */
	readonly port: number;
}

export interface Listener {
	readonly port: number;
	close(): Promise<void>;
}

/** Of a port that the kernel chooses for UDP, TCP may be taken: then it chooses again. */
const CHOICES = 10;

/**
 * Answers at one address by UDP and by TCP.
 * @throws the system's error when one of the two cannot be bound; then neither is
 */
export async function listen(
	address: ListenAddress,
	resolver: Resolver,
	choices = CHOICES,
): Promise<Listener> {
	const udp = await listenUdp(address, resolver);
	try {
		const tcp = await listenTcp({ host: address.host, port: udp.port }, resolver);
		return {
			port: udp.port,
			close: async () => {
				await Promise.all([udp.close(), tcp.close()]);
			},
		};
	} catch (error) {
		await udp.close();
		const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
		if (taken && address.port === 0 && choices > 1) return listen(address, resolver, choices - 1);
		throw error;
	}
}
