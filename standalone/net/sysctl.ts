/**
 * Sysctls of a new network namespace. /proc/sys/net shows the namespace of the thread that opens a
 * file.
 */
import { writeFileSync } from 'node:fs';
import type { NetnsSwitcher } from '../../agent/bpf/netns.ts';

/**
 * Disables duplicate address detection, so that addresses are usable at once. Ignores router
 * advertisements.
 */
const COMMON: readonly Setting[] = [
	['ipv6/conf/all/accept_dad', '0'],
	['ipv6/conf/default/accept_dad', '0'],
	['ipv6/conf/all/accept_ra', '0'],
	['ipv6/conf/default/accept_ra', '0'],
	['ipv6/conf/default/dad_transmits', '0'],
	// As in a container, unprivileged users may open port 80
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
