/** Numbers of the transport protocols (IANA), by the names of the Kubernetes API in lower case. */
export const PROTOCOLS = { tcp: 6, udp: 17 } as const;

/** The name, or `protocol132` for another protocol. */
export function protocolName(proto: number): string {
	return proto === PROTOCOLS.tcp ? 'tcp' : proto === PROTOCOLS.udp ? 'udp' : `protocol${proto}`;
}
