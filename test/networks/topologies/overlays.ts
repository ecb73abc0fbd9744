/**
 * Tunnels between the nodes carry the pod networks, and each end has its own address. A node sends
 * to pods through a tunnel with that address as the source. Pods are masqueraded outside of their
 * network (natOutgoing).
 */
import { execFileSync } from 'node:child_process';
import { NODES, type NodePlace, nodeOf } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import { device, tool } from '../support/needs.ts';
import { FAMILIES, type Spec } from '../support/spec.ts';
import { flannelRules } from './masquerade.ts';

const own = (n: number): Ends => ({ v4: `10.244.${n}.0`, v6: `fd00:244:${n}::` });
/**
 * Addresses for tunnels whose routes name no router. For such a route the kernel takes the first
 * address of the prefix for the anycast address of its routers. It sends no ICMPv6 errors to that
 * address, so the path MTU is never discovered (net.ipv6.icmp.error_anycast_as_unicast).
 */
const ownByDevice = (n: number): Ends => ({ ...own(n), v6: `fd00:244:${n}::1` });
type Ends = Readonly<Record<'v4' | 'v6', string>>;

interface Tunnel {
	/** Lines of ip that create the device on a node. */
	readonly make: (node: NodePlace, other: NodePlace) => string;
	readonly name: string;
	readonly mtu: number;
	/** The device has Ethernet, so routes name the far end. */
	readonly ethernet?: boolean;
	readonly families?: readonly ('v4' | 'v6')[];
	/** Addresses of the ends by node number. */
	readonly ends?: (n: number) => Ends;
}

function build({ make, name, mtu, ethernet = false, families = FAMILIES, ends = own }: Tunnel) {
	return (lab: Lab, configure?: (node: NodePlace, other: NodePlace) => void) => {
		lab.outside();
		lab.nodes('strict');
		lab.pods({ mtu });
		NODES.forEach((node, i) => {
			const [mine, theirs] = [ends(i + 1), ends(2 - i)];
			const other = NODES[1 - i]!;
			const { net } = lab;
			net.ip(node.name, make(node, other));
			configure?.(node, other);
			net.ip(node.name, `link set ${name} mtu ${mtu} up`);
			for (const family of families) {
				const v4 = family === 'v4';
				const via = ethernet ? `via ${theirs[family]} dev ${name} onlink` : `dev ${name}`;
				net.ip(
					node.name,
					`address add ${mine[family]}/${v4 ? 32 : '128'} dev ${name}${v4 ? '' : ' nodad'}`,
					`route add ${v4 ? other.podsV4 : other.podsV6} ${via} src ${mine[family]}`,
				);
			}
		});
		lab.podRoutes(FAMILIES.filter((family) => !families.includes(family)));
		lab.balancers();
		flannelRules(lab);
	};
}

export const geneve: Spec = {
	name: 'geneve',
	models: 'Cilium, Antrea and OVN-Kubernetes by Geneve; strict rp_filter',
	needs: [device('geneve', 'id 5 remote 192.0.2.1')],
	modes: ['XDP', 'TC'],
	build: (lab) =>
		build({
			make: (_node, other) => `link add gnv0 type geneve id 5 remote ${other.v4}`,
			...{ name: 'gnv0', mtu: 1430, ethernet: true },
		})(lab),
	masquerade: true,
	source: own(1),
};

export const ipip: Spec = {
	name: 'ipip',
	models: 'Calico by IPIP (IPv6 routed natively, as there); strict rp_filter',
	needs: [device('ipip', 'local 192.0.2.1 remote 192.0.2.2')],
	modes: ['XDP', 'TC'],
	build: (lab) =>
		build({
			make: (node, other) => `link add tnl0 type ipip local ${node.v4} remote ${other.v4}`,
			...{ name: 'tnl0', mtu: 1480, families: ['v4'] },
		})(lab),
	masquerade: true,
	source: { v4: own(1).v4, v6: nodeOf('node1').v6 },
};

export const wireguard: Spec = {
	name: 'wireguard',
	models: 'Calico, flannel and Kilo by WireGuard, one device for both families; strict rp_filter',
	needs: [device('wireguard'), tool('wg')],
	modes: ['XDP', 'TC'],
	build(lab) {
		const wg = (args: readonly string[], input?: string) =>
			execFileSync('wg', args, { encoding: 'utf8', ...(input !== undefined && { input }) }).trim();
		const keys = new Map(NODES.map(({ name }) => [name, wg(['genkey'])]));
		const tunnel = { make: () => 'link add wg0 type wireguard', name: 'wg0', mtu: 1420, ends: ownByDevice };
		build(tunnel)(lab, (node, other) => {
			const far = ownByDevice(NODES.indexOf(other) + 1);
			const allowed = [`${far.v4}/32`, `${far.v6}/128`, other.podsV4, other.podsV6].join(',');
			const peer = ['peer', wg(['pubkey'], keys.get(other.name)!), 'allowed-ips', allowed];
			const script = `printf %s "$1" | { shift; wg set wg0 private-key /dev/stdin "$@"; }`;
			const settings = ['listen-port', '51820', ...peer, 'endpoint', `${other.v4}:51820`];
			lab.net.exec(node.name, 'sh', '-c', script, 'sh', keys.get(node.name)!, ...settings);
		});
	},
	masquerade: true,
	source: ownByDevice(1),
};
