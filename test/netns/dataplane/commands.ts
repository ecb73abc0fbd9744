/** Commands of a peer process, with their results. */
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
	/** Name of the server that answered. */
	name: string;
	/** The client as the server saw it. */
	seenAddress: string;
	seenPort: number;
	/**
	 * The server as the client sees it: getpeername() for TCP, the source of the datagram for UDP.
	 */
	peerAddress: string;
	peerPort: number;
}

/** SHA-256 in hex of the sent bytes, and of the bytes that arrived in each direction. */
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
	/** Sends a datagram of `bytes` bytes from an unconnected socket. Its answer has the same size. */
	udpPadded: { in: Dial & { bytes: number }; out: Reply };
	/** Sends GET for a URL. */
	get: { in: { url: string }; out: { status: number } };
	bulk: { in: Dial & { size: number }; out: BulkResult };
	/** Opens a connection that stays open for `tcpAgain`. */
	tcpOpen: { in: Dial; out: { handle: number; reply: Reply } };
	tcpAgain: { in: { handle: number }; out: Reply };
	tcpClose: { in: { handle: number }; out: true };
	/** Binds an unconnected socket without sending. */
	udpBind: { in: { address: string; port: number }; out: { handle: number } };
	/** Opens an unconnected socket that keeps its port for `udpAgain`. */
	udpOpen: { in: Dial; out: { handle: number; reply: Reply } };
	udpAgain: { in: Dial & { handle: number }; out: Reply };
	/** Receives the next datagram without sending one. */
	udpHear: { in: { handle: number; timeout?: number }; out: Reply };
}
