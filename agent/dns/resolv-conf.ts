import { parseIp } from '../model/ip.ts';
import type { ListenAddress } from './listener.ts';

/** As libc: the first three count. */
const MAX_SERVERS = 3;

/** The name servers of a resolv.conf; what is no address is passed over, as a zone behind an address is. */
export function resolvConfServers(text: string): ListenAddress[] {
	return text
		.split('\n')
		.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
		.slice(0, MAX_SERVERS)
		.filter((host) => parseIp(host) !== undefined)
		.map((host) => ({ host, port: 53 }));
}
