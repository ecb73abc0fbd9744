import packet from 'dns-packet';
import { parseIp } from '../model/ip.ts';
import type { ListenAddress } from './address.ts';
import { Cache, withoutEdns } from './cache.ts';
import { exchange } from './exchange.ts';
import { isName } from './name.ts';
import {
	FLAG,
	FLAG_DO,
	LARGEST_UDP,
	OPCODE_MASK,
	type Query,
	sizeLimit,
	type Transport,
	u16,
} from './query.ts';
import { type Answer, CLASS_IN, RCODE, type ResourceRecord, TYPE } from './record.ts';
import type { Recursion } from './resolver.ts';

/** Timeout of one server. Clients usually wait 5 s. */
const TRY_MS = 1_500;
const TRIES = 3;
/** Questions in progress; further ones get SERVFAIL. */
const MAX_UNDER_WAY = 1_000;
const HEADER = 12;

export interface ForwarderOptions {
	/** Read again for each question that is not in the cache. */
	readonly servers: () => readonly ListenAddress[] | Promise<readonly ListenAddress[]>;
	/** Milliseconds of a monotonic clock. */
	readonly now: () => number;
	/** Timeout of one server, ms. */
	readonly tryMs?: number;
	/** Called with the outcome of each question outside the cluster zone. */
	readonly observe?: (what: 'hit' | 'miss' | 'failed') => void;
}

/** Forwards questions outside the cluster zone, and caches the answers. */
export class Forwarder implements Recursion {
	readonly #options: ForwarderOptions;
	readonly #cache: Cache;
	/** By question: further clients with the same question wait for the same answer. */
	readonly #underWay = new Map<string, Promise<Buffer | undefined>>();
	/** Index of the server that answered last. */
	#good = 0;

	constructor(options: ForwarderOptions) {
		this.#options = options;
		this.#cache = new Cache(options.now);
	}

	get cached(): number {
		return this.#cache.size;
	}

	async relay(query: Query, transport: Transport): Promise<Buffer> {
		const { message, question, flags, edns } = query;
		const asked = Buffer.from(message.subarray(HEADER, question!.end));
		const answer = await this.#resolve(question!.name, asked, flags & FLAG.CD, (edns?.flags ?? 0) & FLAG_DO);
		return toClient(query, transport, answer);
	}

	/** Follows aliases for addresses only: clients look up other types themselves. */
	async follow(query: Query, begun: Answer & { readonly leadsTo: string }): Promise<Answer> {
		const { type } = query.question!;
		if (type !== TYPE.A && type !== TYPE.AAAA) return begun;
		const asked = questionOf(begun.leadsTo, type);
		const message = await this.#resolve(begun.leadsTo, asked, query.flags & FLAG.CD, 0);
		const rcode = message ? message[3]! & 0xf : RCODE.SERVFAIL;
		const found = message && rcode === RCODE.NOERROR ? decode(message) : [];
		return { ...begun, rcode, answers: [...begun.answers, ...found] };
	}

	/**
	 * @param question in wire format
	 * @returns undefined when no server answers
	 */
	async #resolve(name: string, question: Buffer, cd: number, dnssec: number): Promise<Buffer | undefined> {
		const { observe } = this.#options;
		const tail = question.subarray(-4).toString('latin1');
		const key = `${cd} ${dnssec} ${tail} ${name}`;
		const cached = this.#cache.get(key);
		observe?.(cached ? 'hit' : 'miss');
		if (cached) return cached;
		const waiting = this.#underWay.get(key);
		if (waiting) return waiting;
		if (this.#underWay.size >= MAX_UNDER_WAY) return undefined;
		const asking = this.#ask(upstreamQuery(question, cd, dnssec)).finally(() => this.#underWay.delete(key));
		this.#underWay.set(key, asking);
		const answer = await asking;
		if (answer) this.#cache.set(key, answer);
		else observe?.('failed');
		return answer;
	}

	/**
	 * Asks one server after the other, beginning with the last good one. Returns an error answer when
	 * there is no better one.
	 */
	async #ask(query: Buffer): Promise<Buffer | undefined> {
		let poor: Buffer | undefined;
		const { tryMs = TRY_MS } = this.#options;
		const servers = await this.#options.servers();
		for (let i = 0; servers.length > 0 && i < Math.max(TRIES, servers.length); i++) {
			const at = (this.#good + i) % servers.length;
			const answer = await exchange(servers[at]!, query, tryMs).catch(() => undefined);
			if (!answer) continue;
			const rcode = answer[3]! & 0xf;
			if (rcode === RCODE.NOERROR || rcode === RCODE.NXDOMAIN) {
				this.#good = at;
				return withoutEdns(answer);
			}
			poor = withoutEdns(answer);
			if (i + 1 >= servers.length) break;
		}
		return poor;
	}
}

function questionOf(name: string, type: number): Buffer {
	const labels = name
		.split('.')
		.map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, 'latin1')]));
	return Buffer.concat([...labels, Buffer.of(0, 0, type, 0, CLASS_IN)]);
}

/** Uses EDNS, so that few answers need TCP. */
function upstreamQuery(question: Buffer, cd: number, dnssec: number): Buffer {
	const header = Buffer.alloc(HEADER);
	header.writeUInt16BE(FLAG.RD | cd, 2);
	header[5] = 1;
	header[11] = 1;
	return Buffer.concat([header, question, optRecord(dnssec)]);
}

function optRecord(flags: number): Buffer {
	const opt = Buffer.alloc(11);
	opt[2] = TYPE.OPT;
	opt.writeUInt16BE(LARGEST_UDP, 3);
	opt.writeUInt16BE(flags, 7);
	return opt;
}

/** Adapts an upstream answer to the client: its id, its spelling, its size limit. */
function toClient(query: Query, transport: Transport, answer: Buffer | undefined): Buffer {
	const { message, question, edns } = query;
	const asked = Buffer.from(message.subarray(0, question!.end));
	const opt = edns ? optRecord(edns.flags & FLAG_DO) : Buffer.alloc(0);
	const whole = answer && answer.length + opt.length <= sizeLimit(query, transport);
	const body = whole ? answer.subarray(asked.length) : Buffer.alloc(0);
	const said = answer ? u16(answer, 2) : RCODE.SERVFAIL;
	const own = FLAG.QR | FLAG.RA | (query.flags & (OPCODE_MASK | FLAG.RD | FLAG.CD));
	asked.writeUInt16BE(own | (said & (FLAG.AD | 0xf)) | (answer && !whole ? FLAG.TC : 0), 2);
	for (const at of [6, 8, 10]) asked.writeUInt16BE(whole ? u16(answer, at) : 0, at);
	asked.writeUInt16BE(u16(asked, 10) + (edns ? 1 : 0), 10);
	return Buffer.concat([asked, body, opt]);
}

/** The addresses and aliases of an upstream message. */
function decode(message: Buffer): ResourceRecord[] {
	try {
		return packet.decode(message).answers.flatMap(({ name, type, ttl = 0, data }): ResourceRecord[] => {
			const owner = name.toLowerCase();
			if (!isName(owner)) return [];
			if (type === 'CNAME') {
				const target = String(data).toLowerCase();
				return isName(target) ? [{ name: owner, type: TYPE.CNAME, ttl, target }] : [];
			}
			const ip = type === 'A' || type === 'AAAA' ? parseIp(String(data)) : undefined;
			if (!ip) return [];
			if (ip.family === 4) return [{ name: owner, type: TYPE.A, ttl, address: ip.bytes.subarray(12) }];
			return [{ name: owner, type: TYPE.AAAA, ttl, address: ip.bytes }];
		});
	} catch {
		return [];
	}
}
