/**
 * Makes a node answer ARP and NDP for an address that it does not own, with the kernel's proxy
 * neighbours on eth0. Because the node's stack never owns the address, packets that no program
 * handles cannot reach servers on the node.
 */
import { writeFileSync } from 'node:fs';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';
import { ipBatch, ipJson } from './ip.ts';

const WIRE = 'eth0';
/**
 * arp_process() answers for a proxied address only if its route uses another device than the
 * request's. A bridge without ports is that device, because not every kernel has the module dummy.
 * A packet routed there finds no neighbour, and its sender gets "host unreachable".
 */
const NOWHERE = 'lb0';

/** Call it once for each node, after eth0 exists. */
export async function prepareAnnouncing(switcher: NetnsSwitcher, netns: string): Promise<void> {
	await ipBatch(netns, [`link add ${NOWHERE} type bridge`, `link set ${NOWHERE} addrgenmode none up`]);
	switcher.within(netns, () => {
		writeFileSync(`/proc/sys/net/ipv6/conf/${WIRE}/proxy_ndp`, '1');
		// By default, the kernel delays proxied answers by up to 0.8 s
		for (const family of ['ipv4', 'ipv6'])
			writeFileSync(`/proc/sys/net/${family}/neigh/${WIRE}/proxy_delay`, '0');
	});
}

/** Makes the node answer for the address. */
export async function answerFor(netns: string, address: string): Promise<void> {
	await ipBatch(netns, [
		`route replace ${host(address)} dev ${NOWHERE}`,
		`neigh replace proxy ${address} dev ${WIRE}`,
	]);
}

/** Stops answering for the address. An unknown address or a missing namespace is no error. */
export async function stopAnsweringFor(netns: string, address: string): Promise<void> {
	for (const command of [
		`neigh del proxy ${address} dev ${WIRE}`,
		`route del ${host(address)} dev ${NOWHERE}`,
	])
		await ipBatch(netns, [command]).catch(() => {});
}

/** Addresses for which the node answers. */
export async function answeredBy(netns: string): Promise<string[]> {
	const entries = (await ipJson(netns, ['neigh', 'show', 'proxy'])) as { dst: string; dev: string }[];
	return entries.filter(({ dev }) => dev === WIRE).map(({ dst }) => dst);
}

export interface Wire {
	ifindex: number;
	/** Text of the MAC address. */
	mac: string;
}

export async function wireOf(netns: string): Promise<Wire> {
	const [link] = (await ipJson(netns, ['link', 'show', WIRE])) as { ifindex: number; address: string }[];
	if (!link) throw new Error(`Cannot find ${WIRE} in ${netns}`);
	return { ifindex: link.ifindex, mac: link.address };
}

function host(address: string): string {
	return `${address}/${address.includes(':') ? 128 : 32}`;
}
