/** Selects the programs for each device from the network state of the namespace. Pure. */

import type { Network } from './netlink.ts';
import type { Link } from './netlink-message.ts';

export interface DeviceChoice {
	/** Device names, or auto: those that face other nodes and clients. */
	readonly devices: 'auto' | readonly string[];
	/** Addresses of the Node object, in the format of model/ip.ts. Their device is an uplink. */
	readonly nodeAddresses?: readonly string[];
	/** ifindexes of former uplinks. They stay uplinks until the node addresses are known. */
	readonly formerUplinks?: readonly number[];
}

export interface Devices {
	/** Node devices whose ingress traffic comes from outside. Sorted by ifindex. */
	readonly uplinks: readonly Link[];
	/** Node ends of the pods' veths. Sorted by ifindex. */
	readonly pods: readonly Link[];
	/**
	 * ifindexes of all devices that lead to other nodes and clients, with or without our programs.
	 */
	readonly away: readonly number[];
	/** Requests that cannot be fulfilled, for operators. */
	readonly problems: readonly string[];
}

/** Device pairs of which a pod gets one end. */
const PAIRS: ReadonlySet<string> = new Set(['veth', 'netkit']);
/** Devices that give one address to the frames of all their ports. */
const BONDS: ReadonlySet<string> = new Set(['bond', 'team']);
/** Devices backed by hardware, possibly through other devices. */
const PHYSICAL: ReadonlySet<string> = new Set(['', 'bond', 'team', 'vlan', 'macvlan', 'ipvlan']);
const SCOPE_GLOBAL = 0;

/**
 * Selects uplinks and pod devices. An uplink holds a default route or a node address. Hardware with
 * a global address is an uplink too, and so is any other device with a global address and routes to
 * other hosts: the tunnel of a CNI (flannel.1, tunl0) or a VPN.
 * The node's own device may be a veth (kind, standalone), and a CNI may assign a gateway's address
 * to the veth of every pod. So a veth is an uplink only for its default route or a node address.
 * All other veths to another network namespace are pod devices, bridged or not, unless they carry
 * an uplink's frames.
 */
export function chooseDevices(network: Network, choice: DeviceChoice): Devices {
	const links = [...network.links].sort((a, b) => a.index - b.index);
	const found = automatic(links, network, choice);
	const { uplinks, problems } =
		choice.devices === 'auto' ? { uplinks: found, problems: [] } : named(links, choice.devices);
	const usable = uplinks.filter((link) => link.ethernet || link.layer3);
	const chosen = new Set(usable.map((link) => link.index));
	const toOne = singleDestinations(network);
	const away = new Set([...uplinks, ...found].map(({ index }) => index));
	const below = carriers(links, away);
	const pods = links.filter(
		(link) =>
			(isPod(link) || (isTun(link) && toOne.has(link.index))) &&
			!chosen.has(link.index) &&
			!below.has(link.index),
	);
	return {
		uplinks: usable,
		pods,
		away: [...away].sort((a, b) => a - b),
		problems: [
			...problems,
			...uplinks
				.filter((link) => !usable.includes(link))
				.map(({ name }) => `Device ${name} carries neither Ethernet frames nor bare IP packets`),
			...(choice.devices === 'auto' && usable.length === 0 ? [NO_UPLINK] : []),
		],
	};
}

/**
 * Role of a device that endpoint routes lead to. Devices without a role do not locate endpoints.
 */
export interface DeviceRole {
	readonly index: number;
	/** It leads to other nodes. */
	readonly uplink: boolean;
	/** It leads to endpoints of this node. */
	readonly inner: boolean;
	readonly served: boolean;
	/** By family, the source address of outgoing packets, in the format of model/ip.ts. */
	readonly sources: Readonly<Partial<Record<4 | 6, string>>>;
}

/**
 * Roles by where endpoints behind a device are: pod veths and bridges with such ports lead to this
 * node's endpoints, uplinks to those of other nodes. A bridge that has other ports too, or is an
 * uplink itself, may lead to both.
 */
export function deviceRoles(
	network: Network,
	{ uplinks, pods, away }: Devices,
	nodeAddresses: readonly string[] = [],
): DeviceRole[] {
	const leading = new Set(away);
	const served = new Set(uplinks.map(({ index }) => index));
	const ofPods = new Set(pods.map(({ index }) => index));
	const ports = new Map<number, Link[]>();
	for (const link of network.links)
		if (link.master) ports.set(link.master, [...(ports.get(link.master) ?? []), link]);
	const roles = network.links.map(({ index }): DeviceRole => {
		const members = ports.get(index) ?? [];
		const withPods = members.some((port) => ofPods.has(port.index));
		const uplink = leading.has(index) || (withPods && members.some((port) => !ofPods.has(port.index)));
		const inner = ofPods.has(index) || withPods;
		const sources = served.has(index) ? sourcesOf(network, index, nodeAddresses) : {};
		return { index, uplink, inner, served: served.has(index), sources };
	});
	return roles.filter(({ uplink, inner }) => uplink || inner);
}

/**
 * The source address that all routes through a device agree on; else the node address, else the
 * device's first address.
 */
function sourcesOf(network: Network, index: number, nodeAddresses: readonly string[]): DeviceRole['sources'] {
	const bySource = (family: 4 | 6) => {
		const routes = network.routes.filter((route) => route.isForeign && route.devices.includes(index));
		const named = new Set(routes.flatMap(({ family: of, source }) => (of === family ? (source ?? []) : [])));
		if (named.size === 1) return [...named][0];
		const held = network.addresses
			.filter((one) => one.index === index && one.family === family && one.scope === SCOPE_GLOBAL)
			.map(({ address }) => address);
		return held.find((address) => nodeAddresses.includes(address)) ?? held[0];
	};
	const [v4, v6] = [bySource(4), bySource(6)];
	return { ...(v4 !== undefined && { 4: v4 }), ...(v6 !== undefined && { 6: v6 }) };
}

/**
 * All addresses of the node itself, without those of pod devices: a CNI may assign the pods'
 * gateway to every veth.
 * In the format of model/ip.ts.
 */
export function localAddresses(network: Network, { pods }: Devices): string[] {
	const ofPods = new Set(pods.map(({ index }) => index));
	const own = network.addresses.filter(({ index }) => !ofPods.has(index));
	return [...new Set(own.map(({ address }) => address))].sort();
}

const NO_UPLINK =
	'No device faces other nodes: none has a default route or an address of the node; name one with --devices';

const isPod = ({ kind, peerElsewhere }: Link) => PAIRS.has(kind) && peerElsewhere;
/** A tun device of a process, without a link layer: a VPN, or a pod with a user-space stack. */
const isTun = ({ kind, ethernet }: Link) => kind === 'tun' && !ethernet;

/**
 * Devices that carry the frames of upper devices, whose programs see them: ports of any bond or
 * team, and the parent devices of uplinks.
 */
function carriers(links: readonly Link[], uplinks: ReadonlySet<number>): ReadonlySet<number> {
	const byIndex = new Map(links.map((link) => [link.index, link]));
	const below = new Set<number>();
	for (const { index, master } of links) if (BONDS.has(byIndex.get(master)?.kind ?? '')) below.add(index);
	for (const index of uplinks)
		for (
			let at = byIndex.get(index)?.parent;
			at !== undefined && !below.has(at);
			at = byIndex.get(at)?.parent
		)
			below.add(at);
	return below;
}

/** Devices with routes to single addresses only, as a CNI routes to one pod. */
function singleDestinations({ routes }: Network): ReadonlySet<number> {
	const ways = routes.filter(({ isForeign }) => isForeign);
	const isSingle = ({ family, prefix }: Network['routes'][number]) => prefix === (family === 4 ? 32 : 128);
	const wide = new Set(ways.filter((route) => !isSingle(route)).flatMap(({ devices }) => devices));
	const single = ways.filter(isSingle).flatMap(({ devices }) => devices);
	return new Set(single.filter((index) => !wide.has(index)));
}

function automatic(links: readonly Link[], network: Network, choice: DeviceChoice): Link[] {
	const own = new Set(choice.nodeAddresses ?? []);
	const former = new Set(choice.nodeAddresses ? [] : choice.formerUplinks);
	const holders = (wanted: (address: Network['addresses'][number]) => boolean) =>
		new Set(network.addresses.filter(wanted).map(({ index }) => index));
	const withRoute = new Set(network.defaultDevices);
	const withNodeAddress = holders(({ address }) => own.has(address));
	const withAddress = holders(({ scope }) => scope === SCOPE_GLOBAL);
	const leading = new Set(
		network.routes.filter((route) => route.isForeign).flatMap((route) => route.devices),
	);
	const withPods = new Set(links.filter(isPod).map(({ master }) => master));
	const isTunnel = ({ index, kind }: Link) =>
		!PAIRS.has(kind) && !withPods.has(index) && withAddress.has(index) && leading.has(index);
	const isUplink = (link: Link) =>
		withRoute.has(link.index) ||
		withNodeAddress.has(link.index) ||
		former.has(link.index) ||
		(PHYSICAL.has(link.kind) && withAddress.has(link.index)) ||
		isTunnel(link);
	return links.filter((link) => !link.loopback && isUplink(link));
}

function named(links: readonly Link[], names: readonly string[]): { uplinks: Link[]; problems: string[] } {
	const known = new Set(links.map(({ name }) => name));
	return {
		uplinks: links.filter(({ name }) => names.includes(name)),
		problems: names.filter((name) => !known.has(name)).map((name) => `There is no device ${name}`),
	};
}
