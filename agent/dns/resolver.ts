import { Encoder } from './encode.ts';
import { lookup } from './lookup.ts';
import { FLAG, type Query, readQuery, type Transport } from './query.ts';
import { type Answer, RCODE } from './record.ts';
import type { Zone } from './zone.ts';

/** Resolves names outside the cluster zone. */
export interface Recursion {
	/** Returns the message for the client. Never rejects. */
	relay(query: Query, transport: Transport): Promise<Buffer>;
	/** Follows an alias that leads out of the zone. Never rejects. */
	follow(query: Query, begun: Answer & { readonly leadsTo: string }): Promise<Answer>;
}

/** Observation of one answered query. */
export interface Observed {
	/** 0 when the question was malformed. */
	readonly type: number;
	readonly transport: Transport;
	readonly rcode: number;
	readonly seconds: number;
}

export interface ResolverOptions {
	readonly zone: Zone;
	/** Whether the zone is complete. Before, every query gets SERVFAIL. */
	readonly synced: () => boolean;
	/** Absent: names outside the zone are refused. */
	readonly recursion?: Recursion | undefined;
	readonly observe?: (observed: Observed) => void;
}

const SAYS = (rcode: number): Answer => ({
	rcode,
	authoritative: false,
	answers: [],
	authority: [],
	additional: [],
});
const REFUSED = SAYS(RCODE.REFUSED);
const SERVFAIL = SAYS(RCODE.SERVFAIL);

/** Turns query messages into answer messages. Answers names of the cluster synchronously. */
export class Resolver {
	readonly #options: ResolverOptions;
	readonly #encoder = new Encoder();
	#turn = 0;

	constructor(options: ResolverOptions) {
		this.#options = options;
	}

	/** @returns undefined for messages that get no answer */
	handle(message: Uint8Array, transport: Transport): Buffer | Promise<Buffer> | undefined {
		const start = performance.now();
		const query = readQuery(message);
		if (!query) return undefined;
		const done = (answer: Buffer): Buffer => {
			this.#options.observe?.({
				type: query.question?.type ?? 0,
				transport,
				rcode: answer[3]! & 0xf,
				seconds: (performance.now() - start) / 1000,
			});
			return answer;
		};
		const answer = this.#answer(query, transport);
		return answer instanceof Promise ? answer.then(done) : done(answer);
	}

	#answer(query: Query, transport: Transport): Buffer | Promise<Buffer> {
		const { zone, synced, recursion } = this.#options;
		const { question, error } = query;
		if (error !== undefined || !question) return this.#say(query, SAYS(error ?? RCODE.FORMERR), transport);
		if (!synced()) return this.#say(query, SERVFAIL, transport);
		const found = lookup(zone, question.name, question.type, this.#turn++);
		if (!found) {
			const asks = recursion !== undefined && (query.flags & FLAG.RD) !== 0;
			return asks ? recursion.relay(query, transport) : this.#say(query, REFUSED, transport);
		}
		const { leadsTo } = found;
		if (leadsTo === undefined || !recursion) return this.#say(query, found, transport);
		return recursion.follow(query, { ...found, leadsTo }).then((whole) => this.#say(query, whole, transport));
	}

	#say(query: Query, answer: Answer, transport: Transport): Buffer {
		return this.#encoder.encode(query, answer, transport);
	}
}
