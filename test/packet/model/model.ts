/**
 * A model of flows in the packet programs, without maps, bytes and races. The programs may choose
 * the backend, the port, and when to rebuild a lost half. The model receives each choice and checks
 * that it is allowed. All rules serve one: a reply reaches the client that owns the flow, or is not
 * translated.
 */

export type Proto = 'tcp' | 'udp';
/** `address:port` of each end. */
export interface Tuple {
	readonly proto: Proto;
	readonly from: string;
	readonly to: string;
}
export interface Backend {
	readonly at: string;
	readonly local: boolean;
	/** Cleared when the Service loses the backend. A backend that returns is a new one. */
	alive: boolean;
}
export interface Service {
	/** Distinguishes a Service from a later one with the same address. */
	readonly id: number;
	/** Whether pods are the clients. Otherwise clients are outside. */
	readonly inside: boolean;
	backends: Backend[];
	/** Deleted. It only serves existing TCP connections. */
	ended: boolean;
}
export interface Flags {
	readonly syn?: boolean;
	readonly ack?: boolean;
	readonly fin?: boolean;
	readonly rst?: boolean;
}
interface Seen {
	packet: boolean;
	more: boolean;
	fin: boolean;
	rst: boolean;
}
/** The entry of one direction of a flow. A flow of the node itself has only one entry. */
interface Half {
	readonly side: 'forward' | 'reverse' | 'own';
	readonly flow: Flow;
	/** Time of the last refresh in seconds. */
	at: number;
}
interface Flow {
	readonly key: Tuple;
	readonly back: Tuple;
	readonly backend: Backend;
	readonly service: Service;
	readonly client: Seen;
	readonly server: Seen;
	backendFirst: boolean;
}
/** The programs' handling of a packet, as visible in its bytes. */
export type Outcome =
	| { readonly kind: 'pass' | 'drop' | 'reject' }
	| { readonly kind: 'sent'; readonly packet: Tuple };

export interface Settings {
	readonly node: string;
	readonly ports: readonly number[];
	readonly timeouts: Readonly<
		Record<'syn' | 'established' | 'closed' | 'timeWait' | 'exchange' | 'stream' | 'opening', number>
	>;
}

const text = ({ proto, from, to }: Tuple) => `${proto} ${from} ${to}`;
const turn = ({ proto, from, to }: Tuple): Tuple => ({ proto, from: to, to: from });
const hostOf = (at: string) => at.slice(0, at.lastIndexOf(':'));
const unseen = (): Seen => ({ packet: false, more: false, fin: false, rst: false });

export class Model {
	/** Services by `proto address:port`. */
	readonly services = new Map<string, Service>();
	/** Halves by the tuple of the packets that they translate. */
	readonly #halves = new Map<string, Half>();
	now = 0;
	readonly #settings: Settings;
	/**
	 * Whether the programs have the entry of this tuple. The model asks this where they may choose.
	 */
	readonly #has: (tuple: Tuple) => boolean;

	constructor(settings: Settings, has: (tuple: Tuple) => boolean) {
		this.#settings = settings;
		this.#has = has;
	}

	/** Checks a packet from outside, or from a pod of this node if `inside`. */
	enter(packet: Tuple, flags: Flags, inside: boolean, got: Outcome): void {
		const replied = this.#replyTo(packet);
		const service = this.services.get(`${packet.proto} ${packet.to}`);
		if (replied) this.#reply(replied, flags, got);
		else if (service?.inside === inside) this.#serve(packet, service, flags, got);
		else expectKind(got, 'pass');
	}

	/**
	 * Checks a packet of a local backend or of the node itself that leaves to an outside client or
	 * into a pod.
	 */
	leave(packet: Tuple, flags: Flags, got: Outcome): void {
		const replied = this.#replyTo(packet);
		if (replied) {
			this.#reply(replied, flags, got);
			return;
		}
		const begins = packet.proto === 'udp' || (flags.syn && !flags.ack);
		const answers = turn(packet);
		const known = this.#halves.get(text(answers));
		if (begins && this.services.has(`${packet.proto} ${packet.from}`) && (!known || known.side === 'own'))
			this.#halves.set(text(answers), { side: 'own', flow: ownFlow(answers), at: this.now });
		expectKind(got, 'pass');
	}

	/**
	 * Checks an ICMP error about a packet that left as `quoted`. It reaches the sender of that
	 * packet, or passes.
	 */
	error(quoted: Tuple, got: Outcome): void {
		const half = this.#halves.get(text(turn(quoted)));
		if (half?.side === 'reverse') expectSent(got, turn(half.flow.key));
		else if (half?.side === 'forward' && this.#owns(half)) expectSent(got, turn(half.flow.back));
		else expectKind(got, 'pass');
	}

	/** Removes an entry that the map lost, as an LRU map may. */
	evict(tuple: Tuple): void {
		this.#halves.delete(text(tuple));
	}

	/** All keys of the map, or only those of replies. */
	keys(which?: 'reverse'): Tuple[] {
		return [...this.#halves.values()]
			.filter(({ side }) => which === undefined || side === which)
			.map(({ side, flow }) => (side === 'reverse' ? flow.back : flow.key));
	}

	/** The reverse half that translates this packet. A stale UDP half translates none. */
	#replyTo(packet: Tuple): Half | undefined {
		const half = this.#halves.get(text(packet));
		return half?.side === 'reverse' && !(packet.proto === 'udp' && this.#expired(half)) ? half : undefined;
	}

	/** Checks a packet to a Service. An existing flow precedes the Service at its address. */
	#serve(packet: Tuple, service: Service, flags: Flags, got: Outcome): void {
		const half = this.#halves.get(text(packet));
		if (half?.side === 'own' && !this.#expired(half)) {
			half.at = this.now;
			expectKind(got, 'pass');
		} else if (half?.side === 'forward' && this.#follows(half, service, flags) && this.#owns(half)) {
			this.#touch(half, flags);
			expectSent(got, turn(half.flow.back));
		} else if (service.ended) {
			expectKind(got, 'pass');
		} else if (service.backends.length === 0) {
			// the programs do not answer a reset with a reset
			expectKind(got, flags.rst ? 'drop' : 'reject');
		} else {
			this.#begin(packet, service, got);
		}
	}

	#reply(half: Half, flags: Flags, got: Outcome): void {
		this.#touch(half, flags);
		expectSent(got, turn(half.flow.key));
	}

	#follows(half: Half, service: Service, flags: Flags): boolean {
		const { flow } = half;
		if (flow.key.proto === 'tcp' && !(flags.syn && !flags.ack)) return true;
		if (!flow.backend.alive || this.#expired(half)) return false;
		return flow.key.proto === 'udp' ? flow.service === service : !closed(flow);
	}

	/**
	 * Whether the flow still owns its source port. The programs rebuild a lost reverse half now or
	 * with a later packet.
	 */
	#owns({ flow }: Half): boolean {
		const there = this.#halves.get(text(flow.back));
		if (there?.flow === flow) return true;
		if (there && !this.#expired(there)) return false;
		if (there || this.#has(flow.back)) this.#insert(flow, this.now);
		return true;
	}

	#begin(key: Tuple, service: Service, got: Outcome): void {
		const choices = service.backends.map((backend) => ({
			backend,
			sources: this.#sources(key, backend).filter((from) => this.#claimable(key, backend, from)),
		}));
		if (got.kind === 'drop') {
			if (choices.some(({ sources }) => sources.length === 0)) return;
			throw new Error(`dropped, but there are ports: ${JSON.stringify(choices)}`);
		}
		const chosen = choices.find(
			({ backend, sources }) =>
				got.kind === 'sent' && got.packet.to === backend.at && sources.includes(got.packet.from),
		);
		if (!chosen || got.kind !== 'sent')
			throw new Error(`${JSON.stringify(got)} is none of ${JSON.stringify(choices)}`);
		const { backend } = chosen;
		const back = turn({ ...got.packet, proto: key.proto });
		const client = { ...unseen(), packet: true };
		const flow: Flow = { key, back, backend, service, client, server: unseen(), backendFirst: false };
		this.#insert(flow, this.now);
		this.#halves.set(text(key), { side: 'forward', flow, at: this.now });
	}

	/** Possible sources of a flow to a backend. None of them is the port of a Service. */
	#sources(key: Tuple, backend: Backend): string[] {
		const { node, ports } = this.#settings;
		const hairpin = hostOf(backend.at) === hostOf(key.from);
		const outside = hostOf(key.to) === node;
		if (hairpin || (outside && !backend.local))
			return ports.map((port) => `${node}:${port}`).filter((at) => !this.services.has(`${key.proto} ${at}`));
		if (this.#keeps(key, backend)) return [key.from];
		return ports.map((port) => `${hostOf(key.from)}:${port}`);
	}

	#claimable(key: Tuple, backend: Backend, from: string): boolean {
		const there = this.#halves.get(text({ proto: key.proto, from: backend.at, to: from }));
		return !there || isOf(there, key) || this.#forsaken(there);
	}

	/** Whether the client keeps its own port: no other flow of it to this backend uses the port. */
	#keeps(key: Tuple, backend: Backend): boolean {
		const there = this.#halves.get(text({ proto: key.proto, from: backend.at, to: key.from }));
		return !there || isOf(there, key) || this.#expired(there);
	}

	/** Inserts the reverse half. The former owner of its key loses its other half too. */
	#insert(flow: Flow, at: number): void {
		const loser = this.#halves.get(text(flow.back));
		if (loser && !isOf(loser, flow.key) && this.#mirror(loser)) this.#halves.delete(text(otherKey(loser)));
		this.#halves.set(text(flow.back), { side: 'reverse', flow, at });
	}

	#mirror(half: Half): Half | undefined {
		const other = this.#halves.get(text(otherKey(half)));
		return other !== half && other?.flow === half.flow ? other : undefined;
	}

	/** Whether neither half was refreshed for so many seconds. */
	#idle(half: Half, seconds: number): boolean {
		const ages = [half, this.#mirror(half)].map((one) =>
			one ? this.now - one.at : Number.POSITIVE_INFINITY,
		);
		return Math.min(...ages) >= seconds;
	}

	#expired(half: Half): boolean {
		return this.#idle(half, this.#timeout(half.flow));
	}

	#forsaken(half: Half): boolean {
		const { client, server } = half.flow;
		const opening = !client.more && !server.more;
		return this.#expired(half) || (opening && this.#idle(half, this.#settings.timeouts.opening));
	}

	#lifetime(proto: Proto, established: boolean): number {
		const { syn, established: long, exchange, stream } = this.#settings.timeouts;
		if (proto === 'udp') return established ? stream : exchange;
		return established ? long : syn;
	}

	#timeout({ key, client, server, backendFirst }: Flow): number {
		const { closed: short, timeWait } = this.#settings.timeouts;
		if (client.rst || server.rst) return short;
		if (client.fin && server.fin) return backendFirst ? timeWait : short;
		return this.#lifetime(key.proto, client.more || server.more);
	}

	#touch(half: Half, flags: Flags): void {
		const { flow } = half;
		const forward = half.side === 'forward';
		const [own, peer] = forward ? [flow.client, flow.server] : [flow.server, flow.client];
		const udp = flow.key.proto === 'udp';
		const now: Seen = {
			packet: true,
			more: udp ? forward && peer.packet : !flags.syn,
			fin: !udp && flags.fin === true,
			rst: !udp && flags.rst === true,
		};
		const news = (['packet', 'more', 'fin', 'rst'] as const).filter((event) => now[event] && !own[event]);
		const late = this.now - half.at >= 1;
		if (news.length === 0 && !late) return;
		if (news.includes('fin') && !forward && !peer.fin) flow.backendFirst = true;
		for (const event of news) own[event] = true;
		half.at = this.now;
		if (news.length > 0) return;
		if (udp) own.more = true;
		// once a second, a flow in use rebuilds a half that the map lost
		const other = text(otherKey(half));
		if (!this.#halves.has(other))
			this.#halves.set(other, { side: forward ? 'reverse' : 'forward', flow, at: this.now });
	}
}

const otherKey = ({ side, flow }: Half): Tuple => (side === 'forward' ? flow.back : flow.key);

/**
 * Whether it is the reverse half of a flow of the client, possibly an earlier one with the same
 * ports.
 */
const isOf = ({ side, flow }: Half, key: Tuple): boolean =>
	side === 'reverse' && text(flow.key) === text(key);

const NO_BACKEND: Backend = { at: '', local: true, alive: true };
const NO_SERVICE: Service = { id: 0, inside: false, backends: [], ended: false };

/** A flow that the node itself began. It lives as long as a stream. */
function ownFlow(key: Tuple): Flow {
	const seen = { ...unseen(), packet: true, more: true };
	return {
		key,
		back: key,
		backend: NO_BACKEND,
		service: NO_SERVICE,
		client: seen,
		server: seen,
		backendFirst: false,
	};
}

function expectKind(got: Outcome, kind: Outcome['kind']): void {
	if (got.kind !== kind) throw new Error(`${kind} expected, not ${JSON.stringify(got)}`);
}

function expectSent(got: Outcome, packet: Tuple): void {
	const sent = got.kind === 'sent' && text(got.packet) === text(packet);
	if (!sent) throw new Error(`${text(packet)} expected, not ${JSON.stringify(got)}`);
}

function closed({ client, server }: Flow): boolean {
	return client.rst || server.rst || (client.fin && server.fin);
}

export { hostOf, text };
