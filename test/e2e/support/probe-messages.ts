/** Messages between a test and its probe process, on stdin and stdout, one JSON object a line. */

export interface HttpRequest {
	op: 'http';
	host: string;
	port: number;
	path: string;
	count: number;
	/** Number of concurrent connections. */
	parallel: number;
	timeoutMs: number;
	/**
	 * Source ports, one for each request. The kernel chooses without them. Connections with a fixed
	 * port end by RST, which frees the port at once.
	 */
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

/** Opens connections and sends requests over each until `release`. */
export interface HoldRequest {
	op: 'hold';
	name: string;
	host: string;
	port: number;
	path: string;
	connections: number;
	everyMs: number;
}

/** Sends requests to each target until `release`, each over a new connection or socket. */
export interface StreamRequest {
	op: 'stream';
	name: string;
	targets: { host: string; port: number; udp?: boolean }[];
	/** Pause between an answer and the next request. */
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
	 * `one`: one socket and sendto().
	 * `connected`: one connected socket, replaced when it fails or stays without an answer.
	 * `fresh`: a new socket for each datagram, as `nc -u -p` in a loop.
	 */
	socket: 'one' | 'connected' | 'fresh';
	everyMs: number;
}

/** `look` reads the report of a running operation, `release` also ends it. */
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

/** The result of one request. */
export interface Answer {
	/** Status of HTTP. */
	status?: number;
	body?: string;
	/** `ECONNREFUSED`, `timeout`, ... */
	error?: string;
	ms: number;
}

/** The report of held connections. */
export interface HoldReport {
	connections: number;
	requests: number;
	/** Connections that were reset, closed or unanswered for 3 s. */
	lost: string[];
}

/** The report of a stream. */
export interface StreamReport {
	requests: number;
	/** Failed requests, each with its target, error and time. */
	failures: string[];
	slowestMs: number;
}

/** The report of a flow. */
export interface FlowReport {
	/**
	 * Successive backends, each with the times of its first and last answer, in ms of the probe's
	 * clock.
	 */
	spans: { body: string; first: number; last: number }[];
}

/**
 * A reply to http and udp has answers in the order of the requests. A reply to hold means that all
 * connections are open.
 */
export interface ProbeReply {
	id: number;
	answers?: Answer[];
	report?: HoldReport;
	stream?: StreamReport;
	flow?: FlowReport;
	/** The request was invalid. */
	failure?: string;
}
