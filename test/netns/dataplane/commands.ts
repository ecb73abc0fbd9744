/** What a peer process can be told, and what it answers. */
export interface Dial {
	address: string;
	port: number;
	localAddress?: string;
	localPort?: number;
	/** TTL or hop limit of UDP. */
	ttl?: number;
	/** Milliseconds to wait for a UDP answer. */
	timeout?: number;
}

export interface Reply {
	/** Of the server that answered. */
	name: string;
	/** The client as the server saw it. */
	seenAddress: string;
	seenPort: number;
	/** The server as the client sees it: getpeername() of TCP, the source of the datagram of UDP. */
	peerAddress: string;
	peerPort: number;
}

/** SHA-256 as hex of what was sent and of what arrived either way. */
export interface BulkResult {
	name: string;
	sent: string;
	uploaded: string;
	downloaded: string;
}

export interface Commands {
	serveTcp: { in: { name: string; address: string; port: number }; out: true };
	serveUdp: { in: { name: string; address: string; port: number }; out: true };
	tcp: { in: Dial; out: Reply };
	udp: { in: Dial & { connected?: boolean }; out: Reply };
	bulk: { in: Dial & { size: number }; out: BulkResult };
	/** A connection that stays open, to be asked again. */
	tcpOpen: { in: Dial; out: { handle: number; reply: Reply } };
	tcpAgain: { in: { handle: number }; out: Reply };
	tcpClose: { in: { handle: number }; out: true };
	/** An unconnected socket that keeps its port. */
	udpOpen: { in: Dial; out: { handle: number; reply: Reply } };
	udpAgain: { in: Dial & { handle: number }; out: Reply };
	/** The next datagram, without asking for it. */
	udpHear: { in: { handle: number; timeout?: number }; out: Reply };
}
