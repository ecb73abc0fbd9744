/** Devices without Ethernet: a tun device as the node's uplink, or for each pod. */
import { CLIENT, NODES, PODS } from '../../netns/dataplane/topology.ts';
import type { Lab } from '../support/lab.ts';
import type { Spec } from '../support/spec.ts';
import { tunPairs } from '../support/tun.ts';

async function tunUplinks(lab: Lab): Promise<void> {
	const { net } = lab;
	await tunPairs(
		lab,
		NODES.map(({ name }) => [
			{ ns: name, dev: 'tun0' },
			{ ns: 'client', dev: `tun-${name}` },
		]),
	);
	for (const { name, v4, v6 } of NODES) {
		net.ip(
			name,
			`address add ${v4}/32 dev tun0`,
			`address add ${v6}/128 dev tun0 nodad`,
			`route add default dev tun0 src ${v4}`,
			`route add default dev tun0 src ${v6}`,
		);
		net.ip(
			'client',
			`route add ${v4} dev tun-${name} src ${CLIENT.v4}`,
			`route add ${v6} dev tun-${name} src ${CLIENT.v6}`,
		);
	}
}

/** Routes pod networks and load balancer addresses by device, because there is no neighbour. */
function routes({ net }: Lab): void {
	for (const { name, podsV4, podsV6 } of NODES)
		net.ip('client', `route add ${podsV4} dev tun-${name}`, `route add ${podsV6} dev tun-${name}`);
	net.ip('client', 'route add 198.51.100.0/24 dev tun-node1', 'route add fd00:100::/64 dev tun-node1');
}

export const tunUplink: Spec = {
	name: 'tun-uplink',
	models: 'nodes joined by an L3 VPN (OpenVPN, Tailscale, Nebula) or by PPP',
	modes: ['TC'],
	async build(lab) {
		lab.outside();
		lab.bareNodes();
		await tunUplinks(lab);
		lab.pods();
		routes(lab);
	},
};

export const tunPods: Spec = {
	name: 'tun-pods',
	models: 'pods whose device on the node carries no Ethernet: Calico VPP, user-space stacks, SLIRP',
	modes: ['XDP', 'TC'],
	async build(lab) {
		const { net } = lab;
		lab.outside();
		lab.nodes();
		for (const { name } of PODS) net.add(name);
		await tunPairs(
			lab,
			PODS.map(({ name, node, device: dev }) => [
				{ ns: node, dev },
				{ ns: name, dev: 'eth0' },
			]),
		);
		for (const { name, node, device: dev, v4, v6 } of PODS) {
			net.ip(
				name,
				`address add ${v4}/32 dev eth0`,
				`address add ${v6}/128 dev eth0 nodad`,
				`route add default dev eth0 src ${v4}`,
				`route add default dev eth0 src ${v6}`,
			);
			const host = NODES.find((one) => one.name === node)!;
			net.ip(node, `route add ${v4} dev ${dev} src ${host.v4}`, `route add ${v6} dev ${dev} src ${host.v6}`);
		}
		lab.podRoutes();
		lab.podsFromOutside();
		lab.balancers();
	},
};
