import { FLAG, FLAG_DO, LARGEST_UDP, OPCODE_MASK, type Query, sizeLimit, type Transport } from './query.ts';
import { type Answer, CLASS_IN, type ResourceRecord, TYPE } from './record.ts';

const HEADER = 12;
/** Largest offset, exclusive, that a compression pointer can address. */
const POINTER_LIMIT = 0x4000;
const OPT_SIZE = 11;
/** More bytes than any record needs. */
const ROOM = 1024;

/** Writes all messages into the same memory and returns copies. */
export class Encoder {
	readonly #bytes = Buffer.alloc(0x10000 + ROOM);
	readonly #names = new Map<string, number>();
	#at = 0;
	#query!: Query;

	/**
	 * Encodes the answer to a query. Omits records that do not fit. Sets the TC flag for omitted
	 * answer and authority records, so that the client retries by TCP, but not for additional
	 * records.
	 */
	encode(query: Query, answer: Answer, transport: Transport): Buffer {
		this.#query = query;
		this.#names.clear();
		const { question, edns } = query;
		const end = sizeLimit(query, transport) - (edns ? OPT_SIZE : 0);
		this.#at = HEADER;
		if (question) this.#copyQuestion(question.end);
		const answers = this.#section(answer.answers, end);
		const complete = answers === answer.answers.length;
		const authority = complete ? this.#section(answer.authority, end) : 0;
		const whole = complete && authority === answer.authority.length;
		const additional = whole ? this.#section(answer.additional, end) : 0;
		if (edns) this.#opt(answer.rcode, edns.flags);
		const flags =
			FLAG.QR |
			// always set, like CoreDNS: stub resolvers have only this server
			FLAG.RA |
			(query.flags & (OPCODE_MASK | FLAG.RD | FLAG.CD)) |
			(answer.authoritative ? FLAG.AA : 0) |
			(whole ? 0 : FLAG.TC) |
			(answer.rcode & 0xf);
		const counts = [question ? 1 : 0, answers, authority, additional + (edns ? 1 : 0)];
		for (const [i, value] of [query.id, flags, ...counts].entries()) this.#bytes.writeUInt16BE(value, 2 * i);
		return Buffer.from(this.#bytes.subarray(0, this.#at));
	}

	/** Copies the question unchanged, so that the client finds its own spelling. */
	#copyQuestion(end: number): void {
		this.#bytes.set(this.#query.message.subarray(HEADER, end), HEADER);
		this.#at = end;
	}

	/** @returns the number of records written before the first that does not fit */
	#section(records: readonly ResourceRecord[], end: number): number {
		for (const [i, record] of records.entries()) {
			const start = this.#at;
			// even the longest record that starts before the end fits into the reserved ROOM
			if (start < end) this.#record(record);
			if (this.#at <= end && start < end) continue;
			this.#at = start;
			return i;
		}
		return records.length;
	}

	#record(record: ResourceRecord): void {
		this.#name(record.name);
		this.#u16(record.type);
		this.#u16(CLASS_IN);
		this.#u32(record.ttl);
		const length = this.#at;
		this.#at += 2;
		this.#data(record);
		this.#bytes.writeUInt16BE(this.#at - length - 2, length);
	}

	#data(record: ResourceRecord): void {
		switch (record.type) {
			case TYPE.A:
			case TYPE.AAAA:
				this.#bytes.set(record.address, this.#at);
				this.#at += record.address.length;
				break;
			case TYPE.SRV:
				for (const value of [0, record.weight, record.port]) this.#u16(value);
				// RFC 2782: not compressed
				this.#name(record.target, false);
				break;
			case TYPE.TXT:
				this.#text(record.text);
				break;
			case TYPE.SOA:
				this.#name(record.primary);
				this.#name(record.mailbox);
				for (const value of [record.serial, 7200, 1800, 86_400, record.minimum]) this.#u32(value);
				break;
			default:
				this.#name(record.target);
		}
	}

	#opt(rcode: number, flags: number): void {
		this.#bytes[this.#at++] = 0;
		this.#u16(TYPE.OPT);
		this.#u16(LARGEST_UDP);
		this.#u32(((rcode >> 4) << 24) | (flags & FLAG_DO));
		this.#u16(0);
	}

	#name(name: string, compress = true): void {
		for (let rest = name; rest !== ''; ) {
			const known = compress ? this.#known(rest) : undefined;
			if (known !== undefined) {
				this.#u16(0xc000 | known);
				return;
			}
			if (this.#at < POINTER_LIMIT && !this.#names.has(rest)) this.#names.set(rest, this.#at);
			const dot = rest.indexOf('.');
			this.#text(dot === -1 ? rest : rest.slice(0, dot));
			rest = dot === -1 ? '' : rest.slice(dot + 1);
		}
		this.#bytes[this.#at++] = 0;
	}

	/** Offset of an earlier occurrence of the name, usually the end of the question. */
	#known(name: string): number | undefined {
		const { question } = this.#query;
		if (question?.name === name) return HEADER;
		if (question && !question.escaped && question.name.endsWith(name)) {
			// each label has one length octet before it, and each but the first a dot in the text
			const start = question.name.length - name.length;
			if (question.name.charCodeAt(start - 1) === 0x2e) return HEADER + start;
		}
		return this.#names.get(name);
	}

	/** A length octet and the text: a label, or a string of a TXT record. */
	#text(text: string): void {
		this.#bytes[this.#at] = text.length;
		this.#at += 1 + this.#bytes.write(text, this.#at + 1, 'latin1');
	}

	#u16(value: number): void {
		this.#at = this.#bytes.writeUInt16BE(value, this.#at);
	}

	#u32(value: number): void {
		this.#at = this.#bytes.writeUInt32BE(value >>> 0, this.#at);
	}
}
