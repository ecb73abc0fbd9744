import { skipName } from './name.ts';
import { FLAG, readEdns, u16 } from './query.ts';
import { RCODE, TYPE } from './record.ts';

/** Entries; the one that was used least lately goes first. */
const CAPACITY = 10_000;
/** Seconds: for how long an answer is kept at most, and one that says that there is none. */
const LONGEST = 3_600;
const LONGEST_NEGATIVE = 300;

interface Entry {
	readonly message: Buffer;
	/** Milliseconds of the clock. */
	readonly stored: number;
	readonly expires: number;
}

/** Answers of others for as long as they allow. */
export class Cache {
	readonly #now: () => number;
	readonly #entries = new Map<string, Entry>();

	/** @param now milliseconds of a clock that never goes back */
	constructor(now: () => number) {
		this.#now = now;
	}

	get size(): number {
		return this.#entries.size;
	}

	/** @returns the message with what is left of its times; the caller's own */
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
	/** Offsets of its TTL, of its data and behind it. */
	readonly ttl: number;
	readonly data: number;
	readonly end: number;
}

const SECTIONS = ['answer', 'authority', 'additional'] as const;

/** @returns undefined when the message cannot be read to its end */
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
 * Seconds for which a message may be kept: the least of its TTLs; where it has no answer, as its SOA says (RFC 2308), and
 * not at all without one.
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

/** The most significant bit has no meaning but 0 (RFC 2181, 8). */
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

/** The message less its OPT record, which is between two servers only and stands at the end, as good as always. */
export function withoutEdns(message: Buffer): Buffer {
	const question = skipName(message, 12);
	const edns = question === undefined ? undefined : readEdns(message, question + 4);
	if (!edns || edns.end !== message.length) return message;
	const rest = Buffer.from(message.subarray(0, edns.at));
	rest.writeUInt16BE(u16(rest, 10) - 1, 10);
	return rest;
}
