/**
 * A node with few clients, Services, backends and source ports. Its programs and its model receive
 * the same history. The test advances time by ageing the map. A program second is longer than a
 * history takes.
 */
import { FrontendFlag, FrontendScope, tupleCodec } from '../../../agent/abi/layout.ts';
import { packet } from '../builder.ts';
import { type Dataplane, dropped, type Program, passed, program, redirected } from '../fixture.ts';
import { mapAddress, protoNumber, type ServiceSpec, type Written } from '../services.ts';
import { ADDR, type FamilyName, frameOf, MAC, TARGET_PORT } from '../shape.ts';
import {
	type Backend,
	type Flags,
	hostOf,
	Model,
	type Outcome,
	type Proto,
	type Service,
	type Tuple,
	text,
} from './model.ts';
import type { Step } from './steps.ts';

/** Jiffies in a program second. A history of a thousand steps takes less than that. */
export const HZ = 10_000;
export const PORTS = { min: 20_000, max: 20_003 } as const;
const HOST_PORT = 20_001;
/** Clock skew in jiffies. Recent writes are then in the future. */
const SKEW = 100;
/**
 * Maximum skew between clock steps. Each step is longer by as much, so that expired entries stay
 * expired.
 */
const MOST_SKEW = 3 * SKEW;
const TIMEOUTS = {
	syn: 20,
	established: 7200,
	closed: 10,
	timeWait: 65,
	exchange: 30,
	stream: 180,
	opening: 3,
};

/** Variables of the programs (bpf/config.h). */
export const RODATA = {
	hz: HZ,
	// a packet that XDP leaves to TC would be recorded twice
	confirm_seconds: 0,
	// the limit must not hide a refusal
	answer_rate: 100_000,
	answer_burst: 100_000,
	snat_port_min: PORTS.min,
	snat_port_max: PORTS.max,
	timeout_tcp_syn: TIMEOUTS.syn,
	timeout_tcp: TIMEOUTS.established,
	timeout_tcp_closed: TIMEOUTS.closed,
	timeout_tcp_time_wait: TIMEOUTS.timeWait,
	timeout_udp: TIMEOUTS.exchange,
	timeout_udp_stream: TIMEOUTS.stream,
	timeout_opening: TIMEOUTS.opening,
};

/** Each Service with its address role, port and backend roles of ADDR. */
const SERVICES = [
	{ at: 'node', port: 30_080, backends: ['remote', 'remote2'] },
	{ at: 'node', port: 30_081, backends: ['remote'] },
	{ at: 'node', port: 30_082, backends: ['local'] },
	{ at: 'node', port: 30_083, backends: ['local'] },
	{ at: 'node', port: HOST_PORT, backends: ['remote'] },
	{ at: 'clusterIp', port: 80, backends: ['local', 'remote'] },
	{ at: 'clusterIp', port: 81, backends: ['local2', 'local'] },
] as const;
export const SERVICE_COUNT = SERVICES.length;
/** The Service whose port is one of the node's source ports. */
export const HOST_SERVICE = SERVICES.findIndex(({ port }) => port === HOST_PORT);
const NODE_SERVICES = SERVICES.filter(({ at }) => at === 'node').length;
const CLIENTS = ['client', 'client2'] as const;
const PODS = ['local', 'local2'] as const;

const hook = {
	xdp: program('ml_xdp'),
	fromNetdev: program('ml_from_netdev'),
	toNetdev: program('ml_to_netdev'),
	fromPod: program('ml_from_pod'),
	toPod: program('ml_to_pod'),
};

interface Served {
	readonly spec: ServiceSpec;
	readonly ids: number[];
	readonly written: Written;
	readonly service: Service;
}

const LETTERS = { syn: 'S', ack: 'A', fin: 'F', rst: 'R' } as const;
const lettersOf = (flags: Flags): string =>
	(['syn', 'ack', 'fin', 'rst'] as const).map((flag) => (flags[flag] ? LETTERS[flag] : '')).join('');

export class World {
	readonly #plane: Dataplane;
	readonly #family: FamilyName;
	readonly #proto: Proto;
	readonly #model: Model;
	readonly #served: Served[] = [];
	/** Jiffies by which entries are younger than in the model. */
	#skew = 0;
	/** Packets that went through programs. */
	packets = 0;

	constructor(plane: Dataplane, family: FamilyName, proto: Proto) {
		this.#plane = plane;
		this.#family = family;
		this.#proto = proto;
		const ports = Array.from({ length: PORTS.max - PORTS.min + 1 }, (_, i) => PORTS.min + i);
		this.#model = new Model({ node: ADDR[family].node, ports, timeouts: TIMEOUTS }, (tuple) =>
			this.#has(tuple),
		);
		plane.clear();
		plane.services.reuse();
		for (let i = 0; i < SERVICES.length; i++) this.#serve(i);
	}

	/** @throws Error that describes the difference between programs and model */
	step(step: Step): void {
		const plain = this.#proto === 'udp' && 'flags' in step ? { ...step, flags: {} } : step;
		this[step.kind](plain as never);
	}

	/** A client, outside or in a pod, sends to a Service. */
	client({ service, client, sport, flags, direct }: Extract<Step, { kind: 'client' }>): void {
		const { at, port } = SERVICES[service]!;
		const fromPod = at === 'clusterIp';
		const role = fromPod ? PODS[client]! : CLIENTS[client]!;
		const tuple = this.#tuple(`${ADDR[this.#family][role]}:${sport}`, `${ADDR[this.#family][at]}:${port}`);
		this.#enter(
			tuple,
			flags,
			fromPod ? [hook.fromPod] : direct ? [hook.fromNetdev] : [hook.xdp, hook.fromNetdev],
		);
	}

	/** A backend sends to a source port of the node, or to the address of a client. */
	backend({ backend, port, flags, direct }: Extract<Step, { kind: 'backend' }>): void {
		const role = (['remote', 'remote2', 'local', 'local2'] as const)[backend]!;
		const from = `${ADDR[this.#family][role]}:${TARGET_PORT}`;
		const tuple = this.#tuple(from, `${ADDR[this.#family].node}:${PORTS.min + port}`);
		const local = backend >= 2;
		this.#enter(
			tuple,
			flags,
			local ? [hook.fromPod] : direct ? [hook.fromNetdev] : [hook.xdp, hook.fromNetdev],
		);
	}

	/** A backend of this node replies to a client, outside or in a pod. */
	answer({ backend, client, sport, flags }: Extract<Step, { kind: 'answer' }>): void {
		const from = `${ADDR[this.#family][PODS[backend]!]}:${TARGET_PORT}`;
		const role = ([...CLIENTS, ...PODS] as const)[client]!;
		const tuple = this.#tuple(from, `${ADDR[this.#family][role]}:${sport}`);
		this.#leave(tuple, flags, client < CLIENTS.length ? hook.toNetdev : hook.toPod);
	}

	/** The node, or a pod that netfilter masquerades, sends from the port of a Service. */
	own({ service, peer, sport, flags }: Extract<Step, { kind: 'own' }>): void {
		const { port } = SERVICES[service % NODE_SERVICES]!;
		const role = (['client', 'other'] as const)[peer]!;
		const tuple = this.#tuple(`${ADDR[this.#family].node}:${port}`, `${ADDR[this.#family][role]}:${sport}`);
		this.#leave(tuple, flags, hook.toNetdev);
	}

	/** A router reports that a packet to a backend did not arrive. */
	error({ backend, port }: Extract<Step, { kind: 'error' }>): void {
		const { node, client2, remote, remote2 } = ADDR[this.#family];
		const quoted = this.#tuple(`${node}:${PORTS.min + port}`, `${[remote, remote2][backend]}:${TARGET_PORT}`);
		const inner = this.#frame(quoted, { ack: true }).subarray(14, 14 + (this.#family === 'v4' ? 28 : 48));
		const eth = packet().eth({ src: MAC.node2, dst: MAC.node });
		const frame =
			this.#family === 'v4'
				? eth.ipv4({ src: client2, dst: node }).icmp({ type: 3, code: 3, rest: 0 }).payload(inner).bytes()
				: eth.ipv6({ src: client2, dst: node }).icmp6({ type: 1, code: 4, rest: 0 }).payload(inner).bytes();
		const got = this.#run([hook.xdp, hook.fromNetdev], frame, quoted);
		this.#model.error(quoted, got);
	}

	/**
	 * Sends a packet that is neither TCP nor UDP, or is truncated. It must pass and change nothing.
	 */
	other({ what, service }: Extract<Step, { kind: 'other' }>): void {
		const { node, client } = ADDR[this.#family];
		const { port } = SERVICES[service % NODE_SERVICES]!;
		const tuple = this.#tuple(`${client}:4000`, `${node}:${port}`);
		const frame = this.#frame(tuple, { ack: true }).slice();
		const v4 = this.#family === 'v4';
		if (what === 'protocol') frame[v4 ? 23 : 20] = 132;
		if (what === 'short') frame[v4 ? 17 : 19] = v4 ? 22 : 3;
		if (what === 'version') frame[14] = 0x15;
		const got = this.#run([hook.xdp, hook.fromNetdev], frame, tuple);
		if (got.kind !== 'pass') throw new Error(`${what}: pass expected, not ${JSON.stringify(got)}`);
	}

	/** The map loses one entry, or the entries of all replies. */
	evict({ which }: Extract<Step, { kind: 'evict' }>): void {
		const keys = this.#model.keys(which === 'replies' ? 'reverse' : undefined);
		const lost = which === 'replies' ? keys : keys.slice(which % Math.max(keys.length, 1)).slice(0, 1);
		for (const key of lost) {
			this.#model.evict(key);
			if (this.#has(key)) this.#plane.deleteConnection(this.#key(key));
		}
	}

	clock({ seconds }: Extract<Step, { kind: 'clock' }>): void {
		this.#model.now += seconds;
		// A little longer, so that entries expire and stay expired when clocks are skewed
		this.#plane.age(seconds * HZ + 1 + MOST_SKEW + this.#skew);
		this.#skew = 0;
	}

	/** The clock of another CPU is ahead, so its entries have no age yet. */
	skew(_: Extract<Step, { kind: 'skew' }>): void {
		if (this.#skew === MOST_SKEW) return;
		this.#skew += SKEW;
		this.#plane.age(-SKEW);
	}

	/** A Service loses its last backend, or gets a missing one. */
	endpoints({ service, remove }: Extract<Step, { kind: 'endpoints' }>): void {
		const { service: model, ids, spec, written } = this.#served[service]!;
		if (model.ended) return;
		if (remove) {
			const gone = model.backends.pop();
			if (!gone) return;
			gone.alive = false;
			const id = ids.pop()!;
			this.#plane.services.retarget(spec, written.serviceId, ids);
			this.#plane.services.removeBackend(id);
			return;
		}
		const next = spec.backends[model.backends.length];
		if (!next) return;
		model.backends.push(this.#backend(next));
		ids.push(this.#plane.services.backend(next, spec.proto));
		this.#plane.services.retarget(spec, written.serviceId, ids);
	}

	/** A Service is deleted, or another one gets its address. */
	service({ service, remove }: Extract<Step, { kind: 'service' }>): void {
		const served = this.#served[service]!;
		for (const backend of served.service.backends) backend.alive = false;
		for (const id of served.ids) this.#plane.services.removeBackend(id);
		served.ids.length = 0;
		served.service.backends.length = 0;
		if (!remove) {
			this.#serve(service);
			return;
		}
		served.service.ended = true;
		const { address, port, scope } = served.spec.frontends[0]!;
		if (this.#proto === 'udp') {
			this.#model.services.delete(`udp ${address}:${port}`);
			this.#plane.services.withoutFrontend(served.spec.frontends[0]!, 'udp');
		} else {
			const flags = FrontendFlag.ENDED;
			const ended = {
				serviceId: served.written.serviceId,
				table: 0,
				tableSize: 0,
				backends: 0,
				affinitySeconds: 0,
			};
			this.#plane.services.frontend(
				{ address, port, flags, ...(scope !== undefined && { scope }) },
				'tcp',
				ended,
			);
		}
	}

	#serve(index: number): void {
		const { at, port, backends } = SERVICES[index]!;
		const address = ADDR[this.#family][at];
		const scope = at === 'node' ? FrontendScope.EXTERNAL : FrontendScope.INTERNAL;
		const spec: ServiceSpec = {
			proto: this.#proto,
			frontends: [{ address, port, scope }],
			backends: backends.map((role) => ({
				address: ADDR[this.#family][role],
				port: TARGET_PORT,
				local: role.startsWith('local'),
			})),
			tableSize: 13,
		};
		const written = this.#plane.services.add(spec);
		const service = {
			id: written.serviceId,
			inside: at === 'clusterIp',
			backends: spec.backends.map((one) => this.#backend(one)),
			ended: false,
		};
		this.#model.services.set(`${this.#proto} ${address}:${port}`, service);
		this.#served[index] = { spec, ids: written.backendIds, written, service };
	}

	#backend({ address, port, local = false }: ServiceSpec['backends'][number]): Backend {
		return { at: `${address}:${port}`, local, alive: true };
	}

	#tuple(from: string, to: string): Tuple {
		return { proto: this.#proto, from, to };
	}

	#enter(tuple: Tuple, flags: Flags, hooks: readonly Program[]): void {
		const inside = hooks[0] === hook.fromPod;
		this.#model.enter(tuple, flags, inside, this.#run(hooks, this.#frame(tuple, flags), tuple));
	}

	#leave(tuple: Tuple, flags: Flags, program: Program): void {
		this.#model.leave(tuple, flags, this.#run([program], this.#frame(tuple, flags), tuple));
	}

	/** Runs one packet through its hooks until one of them handles it. */
	#run(hooks: readonly Program[], frame: Uint8Array, sent: Tuple): Outcome {
		for (const one of hooks) {
			this.packets++;
			const { action, bytes } = this.#plane.run(one, frame);
			if (dropped(one, action)) return { kind: 'drop' };
			if (passed(one, action) && Buffer.compare(bytes, frame) === 0) continue;
			const packet = this.#decode(bytes, sent);
			const same = packet.from === sent.from && packet.to === sent.to;
			if (
				redirected(one, action) &&
				(packet.proto === 'icmp' || (packet.from === sent.to && packet.to === sent.from))
			)
				return { kind: 'reject' };
			if (same)
				throw new Error(`${one.name} changed bytes of ${sent.from} > ${sent.to} without translating it`);
			return { kind: 'sent', packet: { proto: this.#proto, from: packet.from, to: packet.to } };
		}
		return { kind: 'pass' };
	}

	#frame(tuple: Tuple, flags: Flags): Uint8Array {
		const key = `${text(tuple)} ${lettersOf(flags)}`;
		const frame = FRAMES.get(key) ?? frameBetween(tuple, flags);
		FRAMES.set(key, frame);
		return frame;
	}

	/** Addresses and ports. For an ICMP error these are the quoted ones reversed, as in the model. */
	#decode(bytes: Uint8Array, sent: Tuple): { proto: string; from: string; to: string } {
		const v4 = this.#family === 'v4';
		const outer = ends(bytes, 14, v4);
		const proto = bytes[v4 ? 23 : 20];
		if (proto === protoNumber(this.#proto)) return { proto: this.#proto, ...outer };
		const inner = ends(bytes, 14 + (v4 ? 28 : 48), v4);
		// The sender of the packet receives the node's own answer
		const answered = hostOf(outer.to) === hostOf(sent.from);
		return { proto: answered ? 'icmp' : this.#proto, from: inner.to, to: inner.from };
	}

	#key({ proto, from, to }: Tuple) {
		const end = (at: string) => [mapAddress(hostOf(at)), Number(at.slice(at.lastIndexOf(':') + 1))] as const;
		const [saddr, sport] = end(from);
		const [daddr, dport] = end(to);
		return { saddr, daddr, sport, dport, proto: protoNumber(proto) };
	}

	#has(tuple: Tuple): boolean {
		return this.#plane.objects.map('connections').lookup(tupleCodec.encode(this.#key(tuple))) !== undefined;
	}
}

/** A cache of frames, of which there are few. */
const FRAMES = new Map<string, Uint8Array>();

function frameBetween({ from, to, proto }: Tuple, flags: Flags): Uint8Array {
	const split = (at: string) => [hostOf(at), Number(at.slice(at.lastIndexOf(':') + 1))] as const;
	const [src, sport] = split(from);
	const [dst, dport] = split(to);
	return frameOf({ proto, src, dst, sport, dport, flags: lettersOf(flags) });
}

const KNOWN = new Map(
	(['v4', 'v6'] as const).flatMap((family) =>
		Object.values(ADDR[family]).map(
			(text) => [Buffer.from(mapAddress(text)).toString('latin1'), text] as const,
		),
	),
);
const V4_PREFIX = Buffer.from(mapAddress('0.0.0.0').subarray(0, 12)).toString('latin1');

/** `address:port` of both ends, from the IP header at an offset. */
function ends(bytes: Uint8Array, offset: number, v4: boolean): { from: string; to: string } {
	const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
	const address = (at: number) =>
		v4 ? V4_PREFIX + frame.toString('latin1', at, at + 4) : frame.toString('latin1', at, at + 16);
	const [src, dst, l4] = v4 ? [12, 16, 20] : [8, 24, 40];
	const end = (at: number, port: number) =>
		`${KNOWN.get(address(offset + at)) ?? '?'}:${frame.readUInt16BE(offset + l4! + port)}`;
	return { from: end(src!, 0), to: end(dst!, 2) };
}
