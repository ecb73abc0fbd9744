/**
 * How a node answers ARP and NDP for an address that is not its own: by the kernel's proxy neighbours on its wire. The node's
 * stack never owns the address, so what no program claims cannot reach the node's own servers.
 */
import { writeFileSync } from 'node:fs';
import type { NetnsSwitcher } from '../../bpf/netns.ts';
import { ipBatch, ipJson } from './ip.ts';

const WIRE = 'eth0';
/**
 * arp_process() answers for a proxied address only if its route leaves by another device than the request came in by. A bridge
 * without ports is that device (dummy is a module that not every kernel has): what gets there finds no neighbour, and its sender
 * is told "host unreachable".
 */
const NOWHERE = 'lb0';

/** Once for each node, after its wire is there. */
export async function prepareAnnouncing(switcher: NetnsSwitcher, netns: string): Promise<void> {
	await ipBatch(netns, [`link add ${NOWHERE} type bridge`, `link set ${NOWHERE} addrgenmode none up`]);
	switcher.within(netns, () => {
		writeFileSync(`/proc/sys/net/ipv6/conf/${WIRE}/proxy_ndp`, '1');
		// Without, the kernel waits up to 0.8 s before it answers for somebody else
		for (const family of ['ipv4', 'ipv6'])
			writeFileSync(`/proc/sys/net/${family}/neigh/${WIRE}/proxy_delay`, '0');
	});
}

/** The kernel answers for the address from here on. */
export async function answerFor(netns: string, address: string): Promise<void> {
	await ipBatch(netns, [
		`route replace ${host(address)} dev ${NOWHERE}`,
		`neigh replace proxy ${address} dev ${WIRE}`,
	]);
}

/** No more. An address that is not answered for, and a namespace that is gone, are no error. */
export async function stopAnsweringFor(netns: string, address: string): Promise<void> {
	for (const command of [
		`neigh del proxy ${address} dev ${WIRE}`,
		`route del ${host(address)} dev ${NOWHERE}`,
	])
		await ipBatch(netns, [command]).catch(() => {});
}

/** Addresses that the node answers for. */
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
