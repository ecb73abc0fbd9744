/** Listen addresses and sockets of the DNS server. */

export interface ListenAddress {
	/** An IP address. */
	readonly host: string;
	/** 0: any port, the same for both protocols. */
	readonly port: number;
}

/** Descriptors of bound sockets, the TCP one listening. The receiver closes them. */
export interface Sockets {
	readonly udp: number;
	readonly tcp: number;
}

export interface Listener {
	readonly port: number;
	close(): Promise<void>;
}
