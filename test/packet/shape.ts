/**
 * The flows of the packet tests and their frames. Input and expectation come from the same builder.
 */
import { type Packet, packet } from './builder.ts';
import type { Proto } from './services.ts';

export type FamilyName = 'v4' | 'v6';
export interface Case {
	family: FamilyName;
	proto: Proto;
}

/** Every family with every protocol. */
export const CASES: readonly Case[] = (['v4', 'v6'] as const).flatMap((family) =>
	(['tcp', 'udp'] as const).map((proto) => ({ family, proto })),
);
export const FAMILIES: readonly FamilyName[] = ['v4', 'v6'];

export const MAC = {
	node: '02:00:00:00:0a:0b',
	client: '02:00:00:00:0a:64',
	node2: '02:00:00:00:0a:0c',
	/** The second uplink, and its neighbour. */
	node20: '02:00:00:00:14:0b',
	node3: '02:00:00:00:14:0d',
	/** Host side and pod side of the pod's veth. */
	host: '02:00:00:00:01:01',
	pod: '02:00:00:00:01:0a',
	/** Another host on the wire. */
	foreign: '02:00:00:00:0f:0f',
} as const;

/** Addresses by family; ADDR.v4 and ADDR.v6 have the same roles. */
export const ADDR = {
	v4: {
		node: '192.168.10.11',
		client: '192.168.10.100',
		client2: '192.168.10.101',
		/** Host side of the second uplink. */
		node20: '192.168.20.11',
		clusterIp: '10.96.0.10',
		local: '10.244.1.10',
		local2: '10.244.1.11',
		/** Behind node2, a known neighbour on the first uplink. */
		remote: '10.244.2.10',
		remote2: '10.244.2.11',
		/** Behind a known neighbour on the second uplink. */
		otherDevice: '10.244.3.10',
		/** Behind a neighbour without a link-layer address. */
		noNeighbour: '10.244.4.10',
		/** No route leads there. */
		noRoute: '10.245.0.1',
		other: '203.0.113.9',
	},
	v6: {
		node: 'fd00:10::11',
		client: 'fd00:10::100',
		client2: 'fd00:10::101',
		node20: 'fd00:20::11',
		clusterIp: 'fd00:10:96::a',
		local: 'fd00:244:1::10',
		local2: 'fd00:244:1::11',
		remote: 'fd00:244:2::10',
		remote2: 'fd00:244:2::11',
		otherDevice: 'fd00:244:3::10',
		noNeighbour: 'fd00:244:4::10',
		noRoute: 'fd00:245::1',
		other: '2001:db8::9',
	},
} as const satisfies Record<FamilyName, Record<string, string>>;

export const NODEPORT = 30080;
export const SERVICE_PORT = 80;
export const TARGET_PORT = 8080;
export const SNAT_MIN = 10_260;
export const SNAT_MAX = 29_999;

/** One packet of a flow. */
export interface Shape {
	proto: Proto;
	src: string;
	dst: string;
	sport: number;
	dport: number;
	ttl?: number;
	tos?: number;
	/** TCP flags as letters. */
	flags?: string;
	seq?: number;
	ack?: number;
	payload?: string | Uint8Array;
	ethSrc?: string;
	ethDst?: string;
	/** IPv4 options. Absent: none. */
	ipOptions?: Uint8Array;
	tcpOptions?: Uint8Array;
	/** 0 sends no UDP checksum. */
	udpChecksum?: number;
	id?: number;
	flowLabel?: number;
}

function network(start: Packet, shape: Shape): Packet {
	const { src, dst, ttl = 64, tos = 0, ipOptions, id = 0x1234, flowLabel = 0 } = shape;
	if (src.includes(':')) return start.ipv6({ src, dst, hopLimit: ttl, trafficClass: tos, flowLabel });
	const options = ipOptions ? { options: ipOptions } : {};
	return start.ipv4({ src, dst, ttl, tos, id, dontFragment: true, ...options });
}

/**
 * The frame of a shape, by default from the client's MAC to the node's, with 20 bytes of payload.
 */
export function frameOf(shape: Shape): Uint8Array {
	const { sport, dport, flags = 'A', seq = 1000, ack = 0, payload = 'Should not change!!\0' } = shape;
	const ip = network(packet().eth({ src: shape.ethSrc ?? MAC.client, dst: shape.ethDst ?? MAC.node }), shape);
	const options = shape.tcpOptions ? { options: shape.tcpOptions } : {};
	const sum = shape.udpChecksum === undefined ? {} : { checksum: shape.udpChecksum };
	const l4 =
		shape.proto === 'tcp'
			? ip.tcp({ sport, dport, flags, seq, ack, ...options })
			: ip.udp({ sport, dport, ...sum });
	return l4.payload(payload).bytes();
}

/** The reply to a packet: addresses, ports and MACs swapped. */
export function turned(shape: Shape, changes: Partial<Shape> = {}): Shape {
	return {
		...shape,
		src: shape.dst,
		dst: shape.src,
		sport: shape.dport,
		dport: shape.sport,
		ethSrc: shape.ethDst ?? MAC.node,
		ethDst: shape.ethSrc ?? MAC.client,
		...changes,
	};
}
