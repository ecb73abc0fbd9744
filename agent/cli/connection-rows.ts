import { type Conn, ConnFlag, connCodec, tupleCodec } from '../abi/layout.ts';
import { protocolName } from '../abi/protocol.ts';
import type { BpfMap } from '../bpf/port.ts';
import { endpointText, ipOfBytes } from '../model/ip.ts';

export interface ConnectionRow {
	readonly protocol: string;
	readonly client: string;
	/** Destination of the client's packets. */
	readonly frontend: string;
	readonly backend: string;
	/** Source address for the backend, if it differs from the client. */
	readonly source?: string;
	/** Properties and states of the flow, from the client's side. */
	readonly flags: readonly string[];
	readonly serviceId: number;
}

const PROPERTIES = Object.entries(ConnFlag).filter(([name]) => name !== 'FORWARD');
const STATES: readonly (readonly [name: string, holds: (conn: Conn) => boolean])[] = [
	['established', ({ own, peer }) => own.more + peer.more > 0],
	['fin', ({ own }) => own.fin > 0],
	['peer-fin', ({ peer }) => peer.fin > 0],
	['rst', ({ own, peer }) => own.rst + peer.rst > 0],
];

/** Connections from their forward entries, in map order. */
export function* connectionRows(connections: BpfMap): Generator<ConnectionRow> {
	for (const [rawKey, rawValue] of connections.entries()) {
		const key = tupleCodec.decode(rawKey);
		const conn = connCodec.decode(rawValue);
		const { nat, flags, serviceId } = conn;
		if ((flags & ConnFlag.FORWARD) === 0) continue;
		const client = endpointText(ipOfBytes(key.saddr), key.sport);
		const source = endpointText(ipOfBytes(nat.saddr), nat.sport);
		yield {
			protocol: protocolName(key.proto),
			client,
			frontend: endpointText(ipOfBytes(key.daddr), key.dport),
			backend: endpointText(ipOfBytes(nat.daddr), nat.dport),
			...(source !== client && { source }),
			flags: [
				...PROPERTIES.filter(([, bit]) => (flags & bit) !== 0).map(([name]) => name.toLowerCase()),
				...STATES.filter(([, holds]) => holds(conn)).map(([name]) => name),
			],
			serviceId,
		};
	}
}
