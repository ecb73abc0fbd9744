/** The used numbers of the DNS protocol (IANA). */
export const TYPE = {
	A: 1,
	NS: 2,
	CNAME: 5,
	SOA: 6,
	PTR: 12,
	TXT: 16,
	AAAA: 28,
	SRV: 33,
	OPT: 41,
	IXFR: 251,
	AXFR: 252,
	ANY: 255,
} as const;

export const RCODE = {
	NOERROR: 0,
	FORMERR: 1,
	SERVFAIL: 2,
	NXDOMAIN: 3,
	NOTIMP: 4,
	REFUSED: 5,
	BADVERS: 16,
} as const;

export const CLASS_IN = 1;

/** A service target. All names here are in lower case, without the trailing dot; '' is the root. */
export interface Srv {
	readonly port: number;
	readonly target: string;
}

interface Rr<Type extends number> {
	readonly name: string;
	readonly type: Type;
	/** Seconds. */
	readonly ttl: number;
}

/** @see encode.ts */
export type ResourceRecord =
	| (Rr<typeof TYPE.A | typeof TYPE.AAAA> & { readonly address: Uint8Array })
	| (Rr<typeof TYPE.CNAME | typeof TYPE.PTR | typeof TYPE.NS> & { readonly target: string })
	| (Rr<typeof TYPE.SRV> & Srv & { readonly weight: number })
	| (Rr<typeof TYPE.TXT> & { readonly text: string })
	| (Rr<typeof TYPE.SOA> & Soa);

export interface Soa {
	readonly primary: string;
	readonly mailbox: string;
	readonly serial: number;
	/** Seconds that a client may cache a negative answer (RFC 2308). */
	readonly minimum: number;
}

/** Content of the answer to a question. */
export interface Answer {
	readonly rcode: number;
	/** Whether the name is in our own zones. */
	readonly authoritative: boolean;
	readonly answers: readonly ResourceRecord[];
	readonly authority: readonly ResourceRecord[];
	readonly additional: readonly ResourceRecord[];
}

/** All records of a name in the cluster zone. A name with empty lists exists too. */
export interface NameRecords {
	/** 4 and 16 bytes, network order. */
	readonly a: readonly Uint8Array[];
	readonly aaaa: readonly Uint8Array[];
	readonly srv: readonly Srv[];
	readonly cname?: string;
	readonly text?: string;
}

export const NO_RECORDS: NameRecords = { a: [], aaaa: [], srv: [] };
