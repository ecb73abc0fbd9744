/** What a test and its probe process say to each other: one JSON object a line, on stdin and stdout. */

export interface HttpRequest {
	op: 'http';
	host: string;
	port: number;
	path: string;
	count: number;
	/** Connections at the same time. */
	parallel: number;
	timeoutMs: number;
	/** Source ports, one a request; else the kernel chooses. Such connections end by RST, so that ports are free at once. */
	localPorts?: number[];
}

export interface UdpRequest {
	op: 'udp';
	host: string;
	port: number;
	message: string;
	count: number;
	parallel: number;
	timeoutMs: number;
	localPorts?: number[];
}

/** Opens connections and asks over each again and again, until `release`. */
export interface HoldRequest {
	op: 'hold';
	name: string;
	host: string;
	port: number;
	path: string;
	connections: number;
	everyMs: number;
}

/** Asks each target again and again, over a new connection or from a new socket each time, until `release`. */
export interface StreamRequest {
	op: 'stream';
	name: string;
	targets: { host: string; port: number; udp?: boolean }[];
	/** From an answer to the next request. */
	everyMs: number;
	timeoutMs: number;
}

/** Sends datagrams from one source port for as long as the probe runs. */
export interface FlowRequest {
	op: 'flow';
	name: string;
	host: string;
	port: number;
	localPort: number;
	/**
	 * `one`: by sendto() from one socket; `connected`: from one socket that is connected, and anew when it fails or is not answered; `fresh`: a
	 * socket for each datagram, as `nc -u -p` in a loop.
	 */
	socket: 'one' | 'connected' | 'fresh';
	everyMs: number;
}

/** Asks how it is with what goes on; `release` ends it. */
export interface ReleaseRequest {
	op: 'look' | 'release';
	name: string;
}

export type ProbeRequest =
	| HttpRequest
	| UdpRequest
	| HoldRequest
	| StreamRequest
	| FlowRequest
	| ReleaseRequest;

/** Of one request. */
export interface Answer {
	/** Of HTTP. */
	status?: number;
	body?: string;
	/** `ECONNREFUSED`, `timeout`, ... */
	error?: string;
	ms: number;
}

/** What happened on held connections. */
export interface HoldReport {
	connections: number;
	requests: number;
	/** Connections that were reset, closed or left without an answer for 3 s. */
	lost: string[];
}

/** What happened on a stream. */
export interface StreamReport {
	requests: number;
	/** What was asked, how it failed and when. */
	failures: string[];
	slowestMs: number;
}

/** What happened on a flow. */
export interface FlowReport {
	/** Who answered, from when until when, ms of the probe's clock. */
	spans: { body: string; first: number; last: number }[];
}

/** Answers of http and udp in the order of the requests; of hold once all connections are open; of release. */
export interface ProbeReply {
	id: number;
	answers?: Answer[];
	report?: HoldReport;
	stream?: StreamReport;
	flow?: FlowReport;
	/** The request itself was wrong. */
	failure?: string;
}
