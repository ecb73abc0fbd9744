import { parseIp } from '../model/ip.ts';
import type { ListenAddress } from './address.ts';

/** libc uses only the first three. */
const MAX_SERVERS = 3;

/**
 * The name servers of a resolv.conf. Ignores entries that are no plain address, such as one with a
 * zone index.
 */
export function resolvConfServers(text: string): ListenAddress[] {
	return text
		.split('\n')
		.flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
		.slice(0, MAX_SERVERS)
		.filter((host) => parseIp(host) !== undefined)
		.map((host) => ({ host, port: 53 }));
}
