/** A route of type local, as rtnetlink reports it. */
import type { Route } from '../../agent/bpf/netlink-message.ts';
import { ipBytes } from './bytes.ts';

export function localRoute(cidr: string): Route {
	const [address, prefix] = cidr.split('/') as [string, string];
	return {
		family: address.includes(':') ? 6 : 4,
		isDefault: false,
		devices: [],
		gateway: false,
		isLocal: true,
		isForeign: false,
		destination: ipBytes(address),
		prefix: Number(prefix),
		source: undefined,
	};
}

/** No policy routing rule matches on the source. */
export const NO_RULES = { source: false } as const;
