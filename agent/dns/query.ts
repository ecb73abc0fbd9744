import { readName, skipName } from './name.ts';
import { CLASS_IN, RCODE, TYPE } from './record.ts';

/**
 * Octets of a message without EDNS, and of the largest UDP message without fragmentation (DNS flag
 * day 2020).
 */
export const CLASSIC_SIZE = 512;
export const LARGEST_UDP = 1232;
const HEADER = 12;

export const FLAG = {
	QR: 0x8000,
	AA: 0x0400,
	TC: 0x0200,
	RD: 0x0100,
	RA: 0x0080,
	AD: 0x0020,
	CD: 0x0010,
} as const;
export const OPCODE_MASK = 0x7800;
/** In the flags of an OPT record: the client wants DNSSEC records. */
export const FLAG_DO = 0x8000;

export type Transport = 'udp' | 'tcp';

export interface Edns {
	/** Octets that the sender accepts. */
	readonly size: number;
	readonly version: number;
	readonly flags: number;
}

export interface Question {
	/** In lower case. */
	readonly name: string;
	/** The offsets in the name differ from those in the message. */
	readonly escaped: boolean;
	readonly type: number;
	/** Offset of the end of the question, which begins at 12. */
	readonly end: number;
}

export interface Query {
	readonly message: Uint8Array;
	readonly id: number;
	readonly flags: number;
	/** Absent when it is malformed. */
	readonly question?: Question;
	readonly edns?: Edns;
	/** The code of the error answer; absent when the query is valid. */
	readonly error?: number;
}

/**
 * Parses a client's message, which may contain anything.
 * @returns undefined for messages that must get no answer: truncated headers, and answers, which
 * could loop forever
 */
export function readQuery(message: Uint8Array): Query | undefined {
	if (message.length < HEADER) return undefined;
	const id = u16(message, 0);
	const flags = u16(message, 2);
	if (flags & FLAG.QR) return undefined;
	const query = { message, id, flags };
	if (flags & OPCODE_MASK) return { ...query, error: RCODE.NOTIMP };
	const name = u16(message, 4) === 1 ? readName(message, HEADER) : undefined;
	if (!name || name.end + 4 > message.length) return { ...query, error: RCODE.FORMERR };
	const question = {
		name: name.name,
		escaped: name.escaped,
		type: u16(message, name.end),
		end: name.end + 4,
	};
	const edns = readEdns(message, question.end);
	if (edns === null) return { ...query, question, error: RCODE.FORMERR };
	const asked = { ...query, question, ...(edns && { edns }) };
	if (edns && edns.version > 0) return { ...asked, error: RCODE.BADVERS };
	return isRefused(question.type, u16(message, name.end + 2)) ? { ...asked, error: RCODE.REFUSED } : asked;
}

function isRefused(type: number, dnsClass: number): boolean {
	return dnsClass !== CLASS_IN || type === TYPE.AXFR || type === TYPE.IXFR;
}

/**
 * Finds the OPT record of a message and its offsets.
 * @returns undefined when there is none, null when the records after the question are malformed
 */
export function readEdns(
	message: Uint8Array,
	start: number,
): (Edns & { at: number; end: number }) | undefined | null {
	let found: (Edns & { at: number; end: number }) | undefined;
	const records = u16(message, 6) + u16(message, 8) + u16(message, 10);
	let at: number = start;
	for (let i = 0; i < records; i++) {
		const fixed = skipName(message, at);
		if (fixed === undefined || fixed + 10 > message.length) return null;
		const end = fixed + 10 + u16(message, fixed + 8);
		if (end > message.length) return null;
		if (u16(message, fixed) === TYPE.OPT) {
			if (found || message[at] !== 0) return null;
			found = {
				at,
				end,
				size: u16(message, fixed + 2),
				version: message[fixed + 5]!,
				flags: u16(message, fixed + 6),
			};
		}
		at = end;
	}
	return found;
}

/** Octets that the answer to a query may have. */
export function sizeLimit({ edns }: Query, transport: Transport): number {
	if (transport === 'tcp') return 65_535;
	return edns ? Math.min(Math.max(edns.size, CLASSIC_SIZE), LARGEST_UDP) : CLASSIC_SIZE;
}

export function u16(bytes: Uint8Array, at: number): number {
	return (bytes[at]! << 8) | bytes[at + 1]!;
}
