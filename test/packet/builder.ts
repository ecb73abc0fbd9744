/**
 * Frames from a description, outermost layer first:
 *
 *     packet().eth().ipv4({ src, dst }).udp({ sport: 1000, dport: 53 }).payload('hi').bytes()
 *
 * The builder derives lengths, protocol numbers and checksums from the layers. It computes each
 * checksum over all bytes that it covers. Every field can be overridden to make an invalid frame.
 */
import { checksum, concat, ipv4Bytes, ipv6Bytes, mac, pseudoHeader } from './bytes.ts';

export const ETH_IPV4 = 0x0800;
export const ETH_ARP = 0x0806;
export const ETH_IPV6 = 0x86dd;
export const ETH_VLAN = 0x8100;
export const PROTO_ICMP = 1;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;
export const EXT_HOP_BY_HOP = 0;
export const EXT_ROUTING = 43;
export const EXT_FRAGMENT = 44;
export const EXT_DESTINATION = 60;

/** TCP flags as letters, in the order of the header's bits from the lowest. */
export const TCP_FLAGS = 'FSRPAUEC';

export interface EthOptions {
	src?: string;
	dst?: string;
	/** EtherType, for a frame without a layer that defines it. */
	type?: number;
}
export interface Ipv4Options {
	src: string;
	dst: string;
	ttl?: number;
	tos?: number;
	id?: number;
	/** Bytes after the fixed header; padded with zeros to a multiple of four. */
	options?: Uint8Array;
	dontFragment?: boolean;
	moreFragments?: boolean;
	/** Offset in bytes, a multiple of eight. */
	fragmentOffset?: number;
	/** Protocol, for a packet without a layer that defines it. */
	proto?: number;
	/** Overrides: header length in 32-bit words, total length in bytes, header checksum. */
	ihl?: number;
	totalLength?: number;
	checksum?: number;
}
export interface Ipv6Options {
	src: string;
	dst: string;
	hopLimit?: number;
	trafficClass?: number;
	flowLabel?: number;
	/** Next header, for a packet without a layer that defines it. */
	proto?: number;
	/** Overrides the payload length in bytes. */
	payloadLength?: number;
}
export interface TcpOptions {
	sport: number;
	dport: number;
	/** Letters of TCP_FLAGS, such as `SA`. */
	flags?: string;
	seq?: number;
	ack?: number;
	window?: number;
	/** Padded with zeros to a multiple of four. */
	options?: Uint8Array;
	/** Overrides: header length in 32-bit words, checksum. */
	dataOffset?: number;
	checksum?: number;
}
export interface UdpOptions {
	sport: number;
	dport: number;
	/** 0 omits the checksum, any other value overrides it. */
	checksum?: number;
	/** Overrides the length. */
	length?: number;
}
export interface IcmpOptions {
	type: number;
	code?: number;
	/** The four bytes after the checksum: identifier and sequence, or MTU. */
	rest?: number;
	checksum?: number;
}

/** The neighbours of a layer. `inner` contains all bytes after it. */
interface Around {
	inner: Uint8Array;
	/**
	 * Protocol number of the next layer for the field of this layer, undefined without a next layer.
	 */
	next: number | undefined;
	ip: { src: Uint8Array; dst: Uint8Array } | undefined;
}
interface Layer {
	/** Protocol number of this layer for the field of the layer before it. */
	proto: number | undefined;
	ip?: { src: Uint8Array; dst: Uint8Array };
	build(around: Around): Uint8Array;
}

const be16 = (value: number) => [(value >> 8) & 0xff, value & 0xff];
const be32 = (value: number) => [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
const padTo = (bytes: Uint8Array, unit: number) =>
	concat(bytes, new Uint8Array((unit - (bytes.length % unit)) % unit));

function put16(bytes: Uint8Array, at: number, value: number): void {
	bytes[at] = value >> 8;
	bytes[at + 1] = value & 0xff;
}

function l4Checksum(segment: Uint8Array, proto: number, around: Around): number {
	if (!around.ip) throw new TypeError('A transport header needs an IP header below it');
	const { src, dst } = around.ip;
	return checksum(pseudoHeader(src, dst, proto, segment.length), segment);
}

function ethLayer(options: EthOptions): Layer {
	const head = concat(mac(options.dst ?? '02:00:00:00:00:02'), mac(options.src ?? '02:00:00:00:00:01'));
	return {
		proto: undefined,
		build: ({ inner, next }) => concat(head, Uint8Array.from(be16(options.type ?? next ?? 0)), inner),
	};
}

function ipv4Layer(options: Ipv4Options): Layer {
	const ip = { src: ipv4Bytes(options.src), dst: ipv4Bytes(options.dst) };
	return {
		proto: ETH_IPV4,
		ip,
		build({ inner, next }) {
			const extra = padTo(options.options ?? new Uint8Array(), 4);
			const length = 20 + extra.length;
			const flags = (options.dontFragment ? 0x4000 : 0) | (options.moreFragments ? 0x2000 : 0);
			const fragment = flags | ((options.fragmentOffset ?? 0) >> 3);
			const fixed = [
				0x40 | (options.ihl ?? length / 4),
				options.tos ?? 0,
				...be16(options.totalLength ?? length + inner.length),
				...be16(options.id ?? 0),
				...be16(fragment),
				options.ttl ?? 64,
				options.proto ?? next ?? 0,
				...be16(0),
			];
			const header = concat(Uint8Array.from(fixed), ip.src, ip.dst, extra);
			put16(header, 10, options.checksum ?? checksum(header));
			return concat(header, inner);
		},
	};
}

function ipv6Layer(options: Ipv6Options): Layer {
	const ip = { src: ipv6Bytes(options.src), dst: ipv6Bytes(options.dst) };
	return {
		proto: ETH_IPV6,
		ip,
		build({ inner, next }) {
			const first = 0x60000000 + ((options.trafficClass ?? 0) << 20) + (options.flowLabel ?? 0);
			const fixed = [
				...be32(first),
				...be16(options.payloadLength ?? inner.length),
				options.proto ?? next ?? 59,
				options.hopLimit ?? 64,
			];
			return concat(Uint8Array.from(fixed), ip.src, ip.dst, inner);
		},
	};
}

function extLayer(type: number, data: Uint8Array, proto: number | undefined): Layer {
	return {
		proto: type,
		build: ({ inner, next }) => {
			const body = concat(Uint8Array.from([proto ?? next ?? 59, 0]), data);
			const whole = padTo(body, 8);
			whole[1] = type === EXT_FRAGMENT ? 0 : whole.length / 8 - 1;
			return concat(whole, inner);
		},
	};
}

function tcpLayer(options: TcpOptions): Layer {
	const letters = [...(options.flags ?? 'A')];
	const flags = letters.reduce((bits, letter) => bits | (1 << TCP_FLAGS.indexOf(letter)), 0);
	return {
		proto: PROTO_TCP,
		build(around) {
			const extra = padTo(options.options ?? new Uint8Array(), 4);
			const fixed = [
				...be16(options.sport),
				...be16(options.dport),
				...be32(options.seq ?? 0),
				...be32(options.ack ?? 0),
				(options.dataOffset ?? 5 + extra.length / 4) << 4,
				flags,
				...be16(options.window ?? 0xffff),
				...be32(0),
			];
			const segment = concat(Uint8Array.from(fixed), extra, around.inner);
			put16(segment, 16, options.checksum ?? l4Checksum(segment, PROTO_TCP, around));
			return segment;
		},
	};
}

function udpLayer(options: UdpOptions): Layer {
	return {
		proto: PROTO_UDP,
		build(around) {
			const length = options.length ?? 8 + around.inner.length;
			const fixed = [...be16(options.sport), ...be16(options.dport), ...be16(length), ...be16(0)];
			const segment = concat(Uint8Array.from(fixed), around.inner);
			put16(segment, 6, options.checksum ?? (l4Checksum(segment, PROTO_UDP, around) || 0xffff));
			return segment;
		},
	};
}

function icmpLayer(options: IcmpOptions, proto: number): Layer {
	return {
		proto,
		build(around) {
			const fixed = [options.type, options.code ?? 0, ...be16(0), ...be32(options.rest ?? 0)];
			const message = concat(Uint8Array.from(fixed), around.inner);
			const sum = proto === PROTO_ICMP ? checksum(message) : l4Checksum(message, proto, around);
			put16(message, 2, options.checksum ?? sum);
			return message;
		},
	};
}

/** Immutable: each call returns a longer description, so a common prefix can be shared. */
export class Packet {
	readonly #layers: readonly Layer[];

	constructor(layers: readonly Layer[] = []) {
		this.#layers = layers;
	}

	#with(layer: Layer): Packet {
		return new Packet([...this.#layers, layer]);
	}

	eth(options: EthOptions = {}): Packet {
		return this.#with(ethLayer(options));
	}

	/** Adds one 802.1Q tag, or 802.1ad with `tpid` 0x88a8. */
	vlan(id: number, tpid = ETH_VLAN): Packet {
		return this.#with({
			proto: tpid,
			build: ({ inner, next }) => concat(Uint8Array.from([...be16(id), ...be16(next ?? 0)]), inner),
		});
	}

	ipv4(options: Ipv4Options): Packet {
		return this.#with(ipv4Layer(options));
	}

	ipv6(options: Ipv6Options): Packet {
		return this.#with(ipv6Layer(options));
	}

	/**
	 * Adds IPv4 or IPv6 by the family of the addresses. `ttl` is also the hop limit, `tos` the
	 * traffic class.
	 */
	ip(options: { src: string; dst: string; ttl?: number; tos?: number; proto?: number }): Packet {
		const { src, dst, ttl = 64, tos = 0, ...rest } = options;
		return src.includes(':')
			? this.ipv6({ src, dst, hopLimit: ttl, trafficClass: tos, ...rest })
			: this.ipv4({ src, dst, ttl, tos, ...rest });
	}

	/**
	 * Adds an IPv6 extension header. `data` follows its first two bytes and is padded to a multiple
	 * of eight.
	 */
	ext(type: number, data: Uint8Array = new Uint8Array(6), proto?: number): Packet {
		return this.#with(extLayer(type, data, proto));
	}

	/** Adds an IPv6 fragment header. `offset` is in bytes, a multiple of eight. */
	fragment(options: { offset?: number; more?: boolean; id?: number; proto?: number }): Packet {
		const bits = (options.offset ?? 0) | (options.more ? 1 : 0);
		const data = Uint8Array.from([...be16(bits), ...be32(options.id ?? 0)]);
		return this.#with(extLayer(EXT_FRAGMENT, data, options.proto));
	}

	tcp(options: TcpOptions): Packet {
		return this.#with(tcpLayer(options));
	}

	udp(options: UdpOptions): Packet {
		return this.#with(udpLayer(options));
	}

	icmp(options: IcmpOptions): Packet {
		return this.#with(icmpLayer(options, PROTO_ICMP));
	}

	icmp6(options: IcmpOptions): Packet {
		return this.#with(icmpLayer(options, PROTO_ICMPV6));
	}

	payload(data: string | Uint8Array): Packet {
		const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
		return this.#with({ proto: undefined, build: ({ inner }) => concat(bytes, inner) });
	}

	bytes(): Uint8Array {
		let inner: Uint8Array = new Uint8Array();
		let next: number | undefined;
		for (let i = this.#layers.length - 1; i >= 0; i--) {
			const layer = this.#layers[i]!;
			const ip = this.#layers.slice(0, i).findLast((below) => below.ip)?.ip;
			inner = layer.build({ inner, next, ip });
			next = layer.proto;
		}
		return inner;
	}
}

export const packet = (): Packet => new Packet();
