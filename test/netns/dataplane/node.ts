/**
 * One node of the topology with every program attached. It does the work of an agent without one.
 */
import { join } from 'node:path';
import { chooseDevices, deviceRoles } from '../../../agent/bpf/devices.ts';
import { openNative } from '../../../agent/bpf/ffi/native.ts';
import { attachCgroup, attachXdp, type BpfLink } from '../../../agent/bpf/link.ts';
import { Netlink } from '../../../agent/bpf/netlink.ts';
import { NetnsSwitcher } from '../../../agent/bpf/netns.ts';
import { netnsCookie } from '../../../agent/bpf/netns-cookie.ts';
import type { ServiceMaps } from '../../../agent/bpf/port.ts';
import { probe } from '../../../agent/bpf/probe.ts';
import { fibConfig } from '../../../agent/bpf/probe-fib.ts';
import { RouteMaps } from '../../../agent/bpf/route-maps.ts';
import { AttachType } from '../../../agent/bpf/uapi.ts';
import { attachToDevice } from '../../packet/attach.ts';
import { Objects, PINS } from '../../packet/objects.ts';
import { Services } from '../../packet/services.ts';
import { type NodePlace, PODS, type Topology } from './topology.ts';

const SOCKET_HOOKS = [
	['ml_connect4', AttachType.CGROUP_INET4_CONNECT],
	['ml_connect6', AttachType.CGROUP_INET6_CONNECT],
	['ml_sendmsg4', AttachType.CGROUP_UDP4_SENDMSG],
	['ml_sendmsg6', AttachType.CGROUP_UDP6_SENDMSG],
	['ml_recvmsg4', AttachType.CGROUP_UDP4_RECVMSG],
	['ml_recvmsg6', AttachType.CGROUP_UDP6_RECVMSG],
	['ml_getpeer4', AttachType.CGROUP_INET4_GETPEERNAME],
	['ml_getpeer6', AttachType.CGROUP_INET6_GETPEERNAME],
	['ml_release', AttachType.CGROUP_INET_SOCK_RELEASE],
] as const;

export class Node implements Disposable {
	readonly place: NodePlace;
	readonly cgroup: string;
	readonly services: Services;
	readonly #topology: Topology;
	readonly #objects: Objects;
	readonly #switcher = new NetnsSwitcher();
	readonly #links: { close(): void }[] = [];
	readonly #routes: RouteMaps;
	#xdp: BpfLink | undefined;

	static async start(topology: Topology, place: NodePlace): Promise<Node> {
		const native = openNative('koffi');
		const features = probe(native, PINS);
		using switcher = new NetnsSwitcher();
		const cookie = switcher.within(topology.net.name(place.name), () => netnsCookie(native));
		const objects = await Objects.load(join(topology.net.prefix, place.name, 'v1'), {
			host_netns_cookie: cookie,
			have_set_retval: Number(features.setRetval.ok),
			have_csum_ipv6: Number(features.checksumIpv6.ok),
			...fibConfig(features.fib),
			xdp_tx_by_redirect: 1,
		});
		return new Node(topology, place, objects);
	}

	constructor(topology: Topology, place: NodePlace, objects: Objects) {
		this.place = place;
		this.#topology = topology;
		this.#objects = objects;
		this.cgroup = topology.cgroup(topology.net.prefix, place.name);
		this.services = new Services(objects.maps);
		this.services.settings(place.v4, place.v6);
		const pods = PODS.filter((pod) => pod.node === place.name);
		topology.net.sysctl(place.name, { 'net/ipv4/conf/lo/accept_local': '1' });
		this.#routes = new RouteMaps(objects);
		this.follow();
		this.serve('eth0');
		for (const { device } of pods) {
			this.#attach(device, 'ml_from_pod', 'ingress');
			this.#attach(device, 'ml_to_pod', 'egress');
		}
		for (const [name, type] of SOCKET_HOOKS)
			this.#links.push(attachCgroup(objects.native, objects.program(name), this.cgroup, type));
	}

	get maps(): ServiceMaps {
		return this.#objects.maps;
	}

	#within<T>(action: () => T): T {
		return this.#switcher.within(this.#topology.net.name(this.place.name), action);
	}

	#attach(dev: string, name: string, direction: 'ingress' | 'egress'): void {
		const { native } = this.#objects;
		const ifindex = this.#topology.net.ifindex(this.place.name, dev);
		const program = this.#objects.program(name);
		this.#links.push(this.#within(() => attachToDevice(native, program, ifindex, direction)));
	}

	/** Writes the device and local route entries, as the agent does when they change. */
	follow(): void {
		const nodeAddresses = [this.place.v4, this.place.v6];
		this.#within(() => {
			using netlink = new Netlink(this.#objects.native);
			const network = netlink.network();
			const devices = chooseDevices(network, { devices: 'auto', nodeAddresses });
			this.#routes.write(deviceRoles(network, devices, nodeAddresses), network.routes, network.rules);
		});
	}

	/** Attaches the TC programs to a device of the node. */
	serve(dev: string): void {
		this.#attach(dev, 'ml_from_netdev', 'ingress');
		this.#attach(dev, 'ml_to_netdev', 'egress');
	}

	/** Attaches the TC programs to a device without a link layer, of the node or of a pod. */
	async serveL3(dev: string, of: 'netdev' | 'pod' = 'netdev'): Promise<void> {
		const { native } = this.#objects;
		const ifindex = this.#topology.net.ifindex(this.place.name, dev);
		for (const [name, direction] of [
			[`ml_from_${of}`, 'ingress'],
			[`ml_to_${of}`, 'egress'],
		] as const) {
			const program = await this.#objects.l3(name);
			this.#links.push(this.#within(() => attachToDevice(native, program, ifindex, direction)));
		}
	}

	/** Turns XDP on the uplink on or off. TC stays attached. */
	xdp(on: boolean): void {
		const ifindex = this.#topology.net.ifindex(this.place.name, 'eth0');
		const devices = this.#objects.map('xdp_devices');
		const key = new Uint8Array(Uint32Array.of(ifindex).buffer);
		if (on && !this.#xdp) {
			const program = this.#objects.program('ml_xdp');
			this.#xdp = this.#within(() => attachXdp(this.#objects.native, program, ifindex, 'native'));
			devices.update(key, new Uint8Array(Uint32Array.of(1).buffer));
		} else if (!on) {
			devices.delete(key);
			this.#xdp?.close();
			this.#xdp = undefined;
		}
	}

	/** Deletes all flows. */
	forget(): void {
		const connections = this.#objects.map('connections');
		connections.deleteBatch(new Uint8Array(Buffer.concat(Array.from(connections.entries(), ([key]) => key))));
	}

	/** Packets counted for an enum reason. */
	counter(reason: number): number {
		const value = this.#objects.map('counters').lookup(new Uint8Array(Uint32Array.of(reason).buffer))!;
		const view = new DataView(value.buffer);
		let packets = 0;
		for (let at = 0; at < value.length; at += 16) packets += Number(view.getBigUint64(at, true));
		return packets;
	}

	close(): void {
		this.#xdp?.close();
		for (const link of this.#links) link.close();
		this.#objects.close();
		this.#switcher[Symbol.dispose]();
	}

	[Symbol.dispose](): void {
		this.close();
	}
}
