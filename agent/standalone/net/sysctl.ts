/** Settings of a fresh network namespace. /proc/sys/net shows the namespace of the thread that opens it. */
import { writeFileSync } from 'node:fs';
import type { NetnsSwitcher } from '../../bpf/netns.ts';

/** Addresses are usable at once (no duplicate address detection), and routers in the room change nothing. */
const COMMON: readonly Setting[] = [
	['ipv6/conf/all/accept_dad', '0'],
	['ipv6/conf/default/accept_dad', '0'],
	['ipv6/conf/all/accept_ra', '0'],
	['ipv6/conf/default/accept_ra', '0'],
	['ipv6/conf/default/dad_transmits', '0'],
	// An ordinary user may open port 80 in a container's namespace too
	['ipv4/ip_unprivileged_port_start', '0'],
	['ipv4/ping_group_range', '0 2147483647'],
];

const ROUTER: readonly Setting[] = [
	['ipv4/ip_forward', '1'],
	['ipv6/conf/all/forwarding', '1'],
	['ipv6/conf/default/forwarding', '1'],
];

type Setting = readonly [name: string, value: string];

export function configureNamespace(switcher: NetnsSwitcher, netns: string, role: 'host' | 'router'): void {
	const settings = role === 'router' ? [...COMMON, ...ROUTER] : COMMON;
	switcher.within(netns, () => {
		for (const [name, value] of settings) writeFileSync(`/proc/sys/net/${name}`, value);
	});
}
