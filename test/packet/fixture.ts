/**
 * The packet programs in a namespace with known routes and neighbours, run by BPF_PROG_TEST_RUN:
 *
 *     client, node2 --- up0 [dut] pod0 --- pods        up1 --- node3
 */
import { join } from 'node:path';
import {
	type Conn,
	connCodec,
	counterCodec,
	DEVICE_MACS,
	deviceMacCodec,
	Reason,
	type Tuple,
	tupleCodec,
} from '../../agent/abi/layout.ts';
import { attachXdp, type BpfLink } from '../../agent/bpf/link.ts';
import { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import type { RodataValues } from '../../agent/bpf/rodata.ts';
import { concat, ipBytes, mac, onesSum, pseudoHeader } from './bytes.ts';
import { contextAt } from './context.ts';
import { decode } from './decode.ts';
import { Net } from './net.ts';
import { Objects } from './objects.ts';
import { mapAddressText, Services } from './services.ts';
import { ADDR, MAC, SNAT_MAX, SNAT_MIN } from './shape.ts';

export interface Program {
	name: string;
	kind: 'xdp' | 'tc';
	/** The ingress or egress device of the frame. */
	dev: string;
}
export const PROGRAMS: readonly Program[] = [
	{ name: 'ml_xdp', kind: 'xdp', dev: 'up0' },
	{ name: 'ml_from_netdev', kind: 'tc', dev: 'up0' },
	{ name: 'ml_to_netdev', kind: 'tc', dev: 'up0' },
	{ name: 'ml_from_pod', kind: 'tc', dev: 'pod0' },
	{ name: 'ml_to_pod', kind: 'tc', dev: 'pod0' },
];
export const program = (name: string): Program => PROGRAMS.find((one) => one.name === name)!;

/** enum xdp_action, and TC_ACT_*. TC_ACT_UNSPEC continues like TC_ACT_OK. */
const XDP = { DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 } as const;
const TC = { UNSPEC: -1, OK: 0, SHOT: 2, REDIRECT: 7 } as const;

export const passed = ({ kind }: Program, action: number): boolean =>
	kind === 'xdp' ? action === XDP.PASS : action === TC.UNSPEC || action === TC.OK;
export const dropped = ({ kind }: Program, action: number): boolean =>
	action === (kind === 'xdp' ? XDP.DROP : TC.SHOT);
export const redirected = ({ kind }: Program, action: number): boolean =>
	kind === 'xdp' ? action === XDP.TX || action === XDP.REDIRECT : action === TC.REDIRECT;

export interface Verdict {
	action: number;
	bytes: Uint8Array;
}
export interface Connection {
	key: Tuple;
	conn: Conn;
	/** The key as `saddr:sport -> daddr:dport`. */
	text: string;
}

/**
 * A fixed port range for the tests, whatever the default is. Confirmation of next hops is off, so
 * no packet takes TC for it.
 */
export const SNAT_PORTS = { snat_port_min: SNAT_MIN, snat_port_max: SNAT_MAX, confirm_seconds: 0 };

const REASON_NAMES = new Map(Object.entries(Reason).map(([name, number]) => [number as number, name]));

export class Dataplane implements Disposable {
	readonly net: Net;
	readonly objects: Objects;
	readonly services: Services;
	readonly #switcher = new NetnsSwitcher();
	readonly #ifindex = new Map<string, number>();
	readonly #links: readonly BpfLink[];

	/** `rodata` overrides variables of bpf/config.h, `sizes` overrides map sizes. */
	static async open(
		base: string,
		rodata: RodataValues = {},
		sizes: Readonly<Record<string, number>> = {},
	): Promise<Dataplane> {
		const net = new Net(base);
		try {
			const variables = { ...SNAT_PORTS, ...rodata };
			return new Dataplane(net, await Objects.load(join(net.prefix, 'v1'), variables, sizes));
		} catch (error) {
			net.close();
			throw error;
		}
	}

	constructor(net: Net, objects: Objects) {
		this.net = net;
		this.objects = objects;
		buildNetwork(net);
		for (const dev of ['up0', 'up1', 'pod0']) this.#ifindex.set(dev, net.ifindex('dut', dev));
		// XDP can only name receive queues of a veth that has an XDP program
		const xdp = objects.program('ml_xdp');
		const attach = (dev: string) => attachXdp(objects.native, xdp, this.ifindex(dev), 'native');
		this.#links = this.within(() => ['up0', 'up1'].map(attach));
		this.services = new Services(objects.maps);
		this.services.settings(ADDR.v4.node, ADDR.v6.node);
		this.xdpDevice('up0', true);
	}

	/** Runs with the thread inside a namespace, so that test runs find its devices and routes. */
	within<T>(action: () => T, namespace: 'dut' | 'out' = 'dut'): T {
		return this.#switcher.within(this.net.name(namespace), action);
	}

	ifindex(dev: string): number {
		return this.#ifindex.get(dev)!;
	}

	/**
	 * Runs one frame through one program. TC checks the destination MAC, so a frame to a unicast
	 * address gets the MAC of the node, even if the test reversed its flow. Group addresses and
	 * MAC.foreign stay.
	 * @param skb fields of the skb: bytes of a segment, fwmark
	 */
	run(one: Program, data: Uint8Array, skb: { gsoSize?: number; mark?: number } = {}): Verdict {
		if (one.name !== 'ml_from_netdev' || data[0]! & 1 || macAt(data) === MAC.foreign)
			return this.#run(one, data, skb);
		const { action, bytes } = this.#run(one, concat(mac(MAC.node), data.subarray(6)), skb);
		if (macAt(bytes) === MAC.node && passed(one, action)) bytes.set(data.subarray(0, 6));
		return { action, bytes };
	}

	#run({ name, kind, dev }: Program, data: Uint8Array, skb: { gsoSize?: number; mark?: number }): Verdict {
		const index = this.ifindex(dev);
		const result = this.within(() => {
			const context = contextAt(this.objects.native, kind, index);
			const whole = context.kind === 'skb' ? { ...context, ...skb } : context;
			return this.objects.program(name).testRun({ data, context: whole });
		});
		return { action: result.retval | 0, bytes: result.data };
	}

	/** Runs `action`. @returns its result, and the packets counted meanwhile for each reason */
	counting<T>(action: () => T): { result: T; reasons: Record<string, number> } {
		const before = this.counters();
		const result = action();
		const reasons: Record<string, number> = {};
		for (const [name, count] of this.counters()) {
			const more = count - (before.get(name) ?? 0);
			if (more > 0) reasons[name] = more;
		}
		return { result, reasons };
	}

	/** Packets by reason, summed over all CPUs. */
	counters(): Map<string, number> {
		const out = new Map<string, number>();
		for (const [key, value] of this.objects.map('counters').entries()) {
			const name = REASON_NAMES.get(new DataView(key.buffer, key.byteOffset).getUint32(0, true))!;
			let packets = 0n;
			for (let at = 0; at < value.length; at += counterCodec.size)
				packets += counterCodec.decode(value.slice(at, at + counterCodec.size)).packets;
			out.set(name, Number(packets));
		}
		return out;
	}

	connections(): Connection[] {
		return [...this.objects.map('connections').entries()].map(([rawKey, rawValue]) => {
			const key = tupleCodec.decode(rawKey);
			const from = `${mapAddressText(key.saddr)}:${key.sport}`;
			const text = `${from} -> ${mapAddressText(key.daddr)}:${key.dport}`;
			return { key, conn: connCodec.decode(rawValue), text };
		});
	}

	deleteConnection(key: Tuple): void {
		this.objects.map('connections').delete(tupleCodec.encode(key));
	}

	/**
	 * Ages all flows by a number of jiffies. A negative number simulates another CPU whose clock is
	 * ahead.
	 */
	age(jiffies: number): void {
		for (const { key, conn } of this.connections()) {
			const lastSeen = (conn.lastSeen - jiffies) >>> 0;
			this.objects.map('connections').update(tupleCodec.encode(key), connCodec.encode({ ...conn, lastSeen }));
		}
	}

	/** Deletes all flows. */
	clear(): void {
		const map = this.objects.map('connections');
		const keys = Array.from(map.entries(), ([key]) => key);
		map.deleteBatch(new Uint8Array(Buffer.concat(keys)));
	}

	/** Sets whether XDP may redirect frames out of a device. */
	xdpDevice(dev: string, on: boolean): void {
		const map = this.objects.map('xdp_devices');
		const key = new Uint8Array(Uint32Array.of(this.ifindex(dev)).buffer);
		if (on) map.update(key, new Uint8Array(Uint32Array.of(1).buffer));
		else map.delete(key);
	}

	/** Sets the MAC address that XDP has for a device. */
	deviceMac(dev: string, address: string): void {
		const ifindex = this.ifindex(dev);
		const key = new Uint8Array(Uint32Array.of(ifindex % DEVICE_MACS).buffer);
		this.objects.map('device_macs').update(key, deviceMacCodec.encode({ ifindex, mac: mac(address) }));
	}

	close(): void {
		for (const link of this.#links) link.close();
		this.objects.close();
		this.net.close();
		this.#switcher[Symbol.dispose]();
	}

	[Symbol.dispose](): void {
		this.close();
	}
}

function buildNetwork(net: Net): void {
	net.add('dut', { forward: true });
	net.add('out');
	// the attached XDP program would count its neighbour discovery
	net.sysctl('out', { 'net/ipv6/conf/all/disable_ipv6': '1', 'net/ipv6/conf/default/disable_ipv6': '1' });
	net.veth({ ns: 'dut', dev: 'up0', mac: MAC.node }, { ns: 'out', dev: 'up0' });
	net.veth({ ns: 'dut', dev: 'up1', mac: MAC.node20 }, { ns: 'out', dev: 'up1' });
	net.veth({ ns: 'dut', dev: 'pod0', mac: MAC.host }, { ns: 'out', dev: 'pod0', mac: MAC.pod });
	const { v4, v6 } = ADDR;
	const neighbour = (ip: string, mac: string, dev: string) =>
		`neighbour add ${ip} lladdr ${mac} dev ${dev} nud permanent`;
	net.ip(
		'dut',
		`address add ${v4.node}/24 dev up0`,
		`address add ${v6.node}/64 dev up0 nodad`,
		`address add ${v4.node20}/24 dev up1`,
		`address add ${v6.node20}/64 dev up1 nodad`,
		...[v4.local, v4.local2, v6.local, v6.local2].flatMap((ip) => [
			`route add ${ip} dev pod0`,
			neighbour(ip, MAC.pod, 'pod0'),
		]),
		...[v4.client, v4.client2, v6.client, v6.client2].map((ip) => neighbour(ip, MAC.client, 'up0')),
		...['192.168.10.12', 'fd00:10::12'].map((ip) => neighbour(ip, MAC.node2, 'up0')),
		...['192.168.20.13', 'fd00:20::13'].map((ip) => neighbour(ip, MAC.node3, 'up1')),
		'route add 10.244.2.0/24 via 192.168.10.12',
		'route add fd00:244:2::/64 via fd00:10::12',
		'route add 10.244.3.0/24 via 192.168.20.13',
		'route add fd00:244:3::/64 via fd00:20::13',
		'route add 10.244.4.0/24 via 192.168.10.14',
		'route add fd00:244:4::/64 via fd00:10::14',
	);
}

/** The destination MAC of a frame. */
const macAt = (frame: Uint8Array) =>
	Array.from(frame.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':');

/**
 * Writes the partial checksum of a sender with offload into a frame: the sum of the pseudo-header,
 * not complemented.
 */
export function partialChecksum(frame: Uint8Array): Uint8Array {
	const { ip, tcp } = decode(frame);
	const l4 = 14 + (ip!.version === 4 ? 20 : 40);
	const length = 14 + ip!.totalLength - l4;
	const sum = onesSum(pseudoHeader(ipBytes(ip!.src), ipBytes(ip!.dst), ip!.proto, length));
	const out = concat(frame);
	out.set([sum >> 8, sum & 0xff], l4 + (tcp ? 16 : 6));
	return out;
}
