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

export interface ReleaseRequest {
	op: 'release';
	name: string;
}

export type ProbeRequest = HttpRequest | UdpRequest | HoldRequest | ReleaseRequest;

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

/** Answers of http and udp in the order of the requests; of hold once all connections are open. */
export interface ProbeReply {
	id: number;
	answers?: Answer[];
	report?: HoldReport;
	/** The request itself was wrong. */
	failure?: string;
}
