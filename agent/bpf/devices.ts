/** Which devices get which programs, from what the namespace has. Pure. */

import type { Network } from './netlink.ts';
import type { Link } from './netlink-message.ts';

export interface DeviceChoice {
	/** Names, or auto: those that face other nodes and clients. */
	readonly devices: 'auto' | readonly string[];
	/** Addresses of the Node object, as model/ip.ts writes them; their device is an uplink. */
	readonly nodeAddresses?: readonly string[];
	/** ifindexes that were uplinks before; they stay so until the node's addresses are known. */
	readonly formerUplinks?: readonly number[];
}

export interface Devices {
	/** Devices of the node: what enters by them comes from outside. Sorted by ifindex. */
	readonly uplinks: readonly Link[];
	/** The node's ends of pods' veths. Sorted by ifindex. */
	readonly pods: readonly Link[];
	/** What was asked for and cannot be, for people. */
	readonly problems: readonly string[];
}

/** Pairs of devices of which one end is given to a pod. */
const PAIRS: ReadonlySet<string> = new Set(['veth', 'netkit']);
/** Devices with hardware behind them, maybe through others. */
const PHYSICAL: ReadonlySet<string> = new Set(['', 'bond', 'team', 'vlan', 'macvlan', 'ipvlan']);
const SCOPE_GLOBAL = 0;

/**
 * An uplink holds a default route or an address of the node; beside those, hardware that holds a global address. A
 * node's own device may be a veth as well (kind, standalone), and a CNI may give a gateway's address to every pod's
 * veth: so a veth is an uplink only for its route or the node's address, and all others that lead to another network
 * namespace are pods', ports of a bridge or not.
 */
export function chooseDevices(network: Network, choice: DeviceChoice): Devices {
	const links = [...network.links].sort((a, b) => a.index - b.index);
	const { uplinks, problems } =
		choice.devices === 'auto'
			? { uplinks: automatic(links, network, choice), problems: [] }
			: named(links, choice.devices);
	const usable = uplinks.filter((link) => link.ethernet);
	const chosen = new Set(usable.map((link) => link.index));
	return {
		uplinks: usable,
		pods: links.filter((link) => PAIRS.has(link.kind) && link.peerElsewhere && !chosen.has(link.index)),
		problems: [
			...problems,
			...uplinks
				.filter((link) => !link.ethernet)
				.map(({ name }) => `Device ${name} carries no Ethernet frames`),
			...(choice.devices === 'auto' && usable.length === 0 ? [NO_UPLINK] : []),
		],
	};
}

/** All addresses of the node itself: a CNI may give the pods' gateway to every veth. As model/ip.ts writes them. */
export function localAddresses(network: Network, { pods }: Devices): string[] {
	const ofPods = new Set(pods.map(({ index }) => index));
	const own = network.addresses.filter(({ index }) => !ofPods.has(index));
	return [...new Set(own.map(({ address }) => address))].sort();
}

const NO_UPLINK =
	'No device faces other nodes: none has a default route or an address of the node; name one with --devices';

function automatic(links: readonly Link[], network: Network, choice: DeviceChoice): Link[] {
	const own = new Set(choice.nodeAddresses ?? []);
	const former = new Set(choice.nodeAddresses ? [] : choice.formerUplinks);
	const holders = (wanted: (address: Network['addresses'][number]) => boolean) =>
		new Set(network.addresses.filter(wanted).map(({ index }) => index));
	const withRoute = new Set(network.defaultDevices);
	const withNodeAddress = holders(({ address }) => own.has(address));
	const withAddress = holders(({ scope }) => scope === SCOPE_GLOBAL);
	const isUplink = ({ index, kind }: Link) =>
		withRoute.has(index) ||
		withNodeAddress.has(index) ||
		former.has(index) ||
		(PHYSICAL.has(kind) && withAddress.has(index));
	return links.filter((link) => !link.loopback && isUplink(link));
}

function named(links: readonly Link[], names: readonly string[]): { uplinks: Link[]; problems: string[] } {
	const known = new Set(links.map(({ name }) => name));
	return {
		uplinks: links.filter(({ name }) => names.includes(name)),
		problems: names.filter((name) => !known.has(name)).map((name) => `There is no device ${name}`),
	};
}
