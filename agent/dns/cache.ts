import { skipName } from './name.ts';
import { FLAG, readEdns, u16 } from './query.ts';
import { RCODE, TYPE } from './record.ts';

/** Maximum number of entries. Evicts the least recently used entry. */
const CAPACITY = 10_000;
/** Longest lifetime in seconds of an answer and of a negative answer. */
const LONGEST = 3_600;
const LONGEST_NEGATIVE = 300;

interface Entry {
	readonly message: Buffer;
	/** Clock time in milliseconds. */
	readonly stored: number;
	readonly expires: number;
}

/** Caches answers of upstream servers for as long as their TTLs allow. */
export class Cache {
	readonly #now: () => number;
	readonly #entries = new Map<string, Entry>();

	/** @param now milliseconds of a monotonic clock */
	constructor(now: () => number) {
		this.#now = now;
	}

	get size(): number {
		return this.#entries.size;
	}

	/** @returns a copy of the message with the remaining TTLs */
	get(key: string): Buffer | undefined {
		const entry = this.#entries.get(key);
		if (!entry) return undefined;
		this.#entries.delete(key);
		const now = this.#now();
		if (now >= entry.expires) return undefined;
		this.#entries.set(key, entry);
		return aged(entry.message, Math.floor((now - entry.stored) / 1000));
	}

	set(key: string, message: Buffer): void {
		const seconds = lifetime(message);
		if (seconds === 0) return;
		const stored = this.#now();
		this.#entries.delete(key);
		this.#entries.set(key, { message, stored, expires: stored + seconds * 1000 });
		if (this.#entries.size <= CAPACITY) return;
		const [oldest] = this.#entries.keys();
		this.#entries.delete(oldest!);
	}
}

interface WireRecord {
	readonly section: 'answer' | 'authority' | 'additional';
	readonly type: number;
	/** Offsets of its TTL, of its data and of its end. */
	readonly ttl: number;
	readonly data: number;
	readonly end: number;
}

const SECTIONS = ['answer', 'authority', 'additional'] as const;

/** @returns undefined when the message is malformed */
function records(message: Buffer): WireRecord[] | undefined {
	const found: WireRecord[] = [];
	const question = skipName(message, 12);
	if (question === undefined) return undefined;
	let at = question + 4;
	for (const [i, section] of SECTIONS.entries()) {
		for (let n = u16(message, 6 + 2 * i); n > 0; n--) {
			const fixed = skipName(message, at);
			if (fixed === undefined || fixed + 10 > message.length) return undefined;
			const data = fixed + 10;
			at = data + u16(message, fixed + 8);
			if (at > message.length) return undefined;
			found.push({ section, type: u16(message, fixed), ttl: fixed + 4, data, end: at });
		}
	}
	return found;
}

/**
 * Seconds that a message may be cached: its smallest TTL. For a negative answer, the time of its
 * SOA also counts (RFC 2308); without an SOA it is not cached.
 */
export function lifetime(message: Buffer): number {
	const rcode = message[3]! & 0xf;
	const all = records(message);
	if (!all || (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN) || u16(message, 2) & FLAG.TC) return 0;
	const soa = all.find(({ section, type }) => section === 'authority' && type === TYPE.SOA);
	const positive = rcode === RCODE.NOERROR && all.some(({ section }) => section === 'answer');
	if (!positive && (!soa || soa.end - soa.data < 22)) return 0;
	const times = all.filter(({ type }) => type !== TYPE.OPT).map(({ ttl }) => secondsAt(message, ttl));
	if (!positive) times.push(message.readUInt32BE(soa!.end - 4));
	return Math.min(positive ? LONGEST : LONGEST_NEGATIVE, ...times);
}

/** A TTL with the most significant bit set counts as 0 (RFC 2181, 8). */
function secondsAt(message: Buffer, at: number): number {
	const seconds = message.readUInt32BE(at);
	return seconds >= 0x8000_0000 ? 0 : seconds;
}

function aged(message: Buffer, seconds: number): Buffer {
	const copy = Buffer.from(message);
	for (const { type, ttl } of records(copy) ?? []) {
		if (type !== TYPE.OPT) copy.writeUInt32BE(Math.max(0, secondsAt(copy, ttl) - seconds), ttl);
	}
	return copy;
}

/**
 * The message without its OPT record, which is hop-by-hop. The record is last in almost all
 * messages; otherwise it stays.
 */
export function withoutEdns(message: Buffer): Buffer {
	const question = skipName(message, 12);
	const edns = question === undefined ? undefined : readEdns(message, question + 4);
	if (!edns || edns.end !== message.length) return message;
	const rest = Buffer.from(message.subarray(0, edns.at));
	rest.writeUInt16BE(u16(rest, 10) - 1, 10);
	return rest;
}
