import { ConnFlag, connCodec, tupleCodec } from '../abi/layout.ts';
import type { BpfMap } from '../bpf/port.ts';
import { endpointText, ipOfBytes } from '../model/ip.ts';
import { protocolName } from './frontend-rows.ts';

export interface ConnectionRow {
	readonly protocol: string;
	readonly client: string;
	/** What the client dialled. */
	readonly frontend: string;
	readonly backend: string;
	/** Source that the backend sees, when it is not the client's. */
	readonly source?: string;
	/** Flags by name, lower case. */
	readonly flags: readonly string[];
	readonly serviceId: number;
}

const SHOWN = Object.entries(ConnFlag).filter(([name]) => name !== 'FORWARD');

/** Connections from their forward halves, in the order of the map. */
export function* connectionRows(connections: BpfMap): Generator<ConnectionRow> {
	for (const [rawKey, rawValue] of connections.entries()) {
		const key = tupleCodec.decode(rawKey);
		const { nat, flags, serviceId } = connCodec.decode(rawValue);
		if ((flags & ConnFlag.FORWARD) === 0) continue;
		const client = endpointText(ipOfBytes(key.saddr), key.sport);
		const source = endpointText(ipOfBytes(nat.saddr), nat.sport);
		yield {
			protocol: protocolName(key.proto),
			client,
			frontend: endpointText(ipOfBytes(key.daddr), key.dport),
			backend: endpointText(ipOfBytes(nat.daddr), nat.dport),
			...(source !== client && { source }),
			flags: SHOWN.filter(([, bit]) => (flags & bit) !== 0).map(([name]) =>
				name.toLowerCase().replaceAll('_', '-'),
			),
			serviceId,
		};
	}
}
